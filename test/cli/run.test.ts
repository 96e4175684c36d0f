import { once } from "node:events";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseCommand } from "../../src/cli/parse-command.ts";
import { runCommand } from "../../src/cli/run.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { EntryView } from "../../src/inspect/ports.ts";
import { fakePreview } from "../fakes/inspected-registry.ts";
import { fakeEntry, fakePod } from "../fakes/registry.ts";
import { NOW, recordedShell, startOperatorWorld, VERSION } from "./operator-world.ts";
import type { OperatorWorld, RecordedShell } from "./operator-world.ts";

let world: OperatorWorld;
let shell: RecordedShell;

beforeEach(async () => {
  world = await startOperatorWorld();
  await world.addReplica("operator-a");
  shell = recordedShell(world);
});

afterEach(() => world[Symbol.asyncDispose]());

function run(line: string, at: RecordedShell = shell): Promise<boolean> {
  return runCommand(parseCommand(line.split(" ")), at);
}

const stats = {
  namespacesSelected: 1,
  namespacesIgnored: 0,
  podsSelected: 2,
  podEntryRenderFailures: 1,
  entriesMasked: 0,
  entriesToSet: 1,
  entryFailures: 0,
  podsUnscheduled: 0,
  podsFinished: 0,
};

describe("explain pod", () => {
  beforeEach(() => {
    const pod = fakePod("web");
    world.registry.pods.push(pod);
    world.registry.all.push(
      fakeEntry(pod, { dnsNames: ["web.shop", "web"], x509SvidTtl: 5400, admin: true, hint: "in" }),
      fakeEntry(pod, {
        source: { kind: "ClusterStaticEntry", name: "db", uid: "u2" },
        spiffeId: "spiffe://example.org/db",
        jwtSvidTtl: 300,
        federatesWith: ["other.org"],
      }),
    );
    const common = { kind: "ClusterSPIFFEID", ruleUid: "u", matched: false } as const;
    world.registry.explanations.push(
      { ...common, rule: "far", selects: "neither", clause: "namespaceSelector does not match" },
      {
        ...common,
        rule: "web",
        matched: true,
        selects: "pod",
        outcome: "set",
        clause: "it gives the pod an entry",
        spiffeId: "spiffe://example.org/ns/shop/pod/web",
      },
      {
        ...common,
        rule: "copy",
        selects: "pod",
        outcome: "masked",
        clause: "masked by ClusterSPIFFEID web",
        spiffeId: "spiffe://example.org/ns/shop/pod/web",
        maskedBy: "ClusterSPIFFEID web",
      },
      { ...common, rule: "bad", selects: "untried", clause: "the object is invalid" },
    );
    world.issues["operator-a"] ??= {};
    world.issues["operator-a"]["uid-web"] = {
      issued: { by: "attest", at: NOW - 3_600_000, notAfter: NOW, spiffeIds: ["spiffe://old"] },
      failed: { by: "renew", at: NOW - 60_000, code: "UNAVAILABLE", message: "no CA" },
    };
  });

  it("shows identities, what was considered, and the newest issue of all replicas", async () => {
    await world.addReplica("operator-b");
    world.issues["operator-b"] ??= {};
    world.issues["operator-b"]["uid-web"] = {
      issued: {
        by: "renew",
        at: NOW - 180_000,
        notAfter: NOW + 3_420_000,
        spiffeIds: ["spiffe://example.org/ns/shop/pod/web", "spiffe://example.org/db"],
      },
    };
    expect(await run("explain pod shop/web")).toBe(true);
    const ids = /[0-9a-f]{32}/g;
    expect(shell.output().replaceAll(ids, "ID")).toBe(`\
Pod:              shop/web
UID:              uid-web
Node:             node-a
Service account:  default
Phase:            Pending
Last issued:      2026-01-01T11:57:00Z (3m ago) by renew at operator-b, until 2026-01-01T12:57:00Z (in 57m): spiffe://example.org/ns/shop/pod/web, spiffe://example.org/db
Last error:       2026-01-01T11:59:00Z (1m ago) by renew at operator-a: UNAVAILABLE: no CA

Identities:
  SPIFFE ID:           spiffe://example.org/ns/shop/pod/web
  from:                ClusterSPIFFEID web
  X509-SVID lifetime:  1h30m
  JWT-SVID lifetime:   the operator's default
  DNS names:           web.shop, web
  selectors:           k8s:pod-uid:uid-web
  parent ID:           spiffe://example.org/spire/agent/k8s_psat/kind/uid-node-a
  federates with:      -
  flags:               admin
  hint:                in
  entry ID:            ID

  SPIFFE ID:           spiffe://example.org/db
  from:                ClusterStaticEntry db
  X509-SVID lifetime:  1h
  JWT-SVID lifetime:   5m
  DNS names:           -
  selectors:           k8s:pod-uid:uid-web
  parent ID:           spiffe://example.org/spire/agent/k8s_psat/kind/uid-node-a
  federates with:      other.org
  flags:               -
  hint:                -
  entry ID:            ID

Considered:
  KIND             NAME  RESULT     SPIFFE ID                             WHY
  ClusterSPIFFEID  web   set        spiffe://example.org/ns/shop/pod/web  it gives the pod an entry
  ClusterSPIFFEID  copy  masked     spiffe://example.org/ns/shop/pod/web  masked by ClusterSPIFFEID web
  ClusterSPIFFEID  bad   not tried  -                                     the object is invalid
  ClusterSPIFFEID  far   no match   -                                     namespaceSelector does not match
`);
    expect(shell.notes).toEqual([]);
  });

  it("says what is not there", async () => {
    world.registry.explanations.length = 0;
    world.registry.pods.push({
      metadata: { name: "new", namespace: "default", uid: "n" },
      spec: {},
    });
    expect(await run("explain pod new")).toBe(true);
    expect(shell.output()).toBe(`\
Pod:              default/new
UID:              n
Node:             none yet
Service account:  default
Phase:            Unknown
Last issued:      not since the operator's replicas started
Last error:       none

Identities: none

Considered: nothing: there is no ClusterSPIFFEID and no ClusterStaticEntry
`);
  });

  it("prints the same as JSON and YAML", async () => {
    await run("explain pod shop/web -o json");
    const json = JSON.parse(shell.output()) as unknown;
    const other = recordedShell(world);
    await run("explain pod shop/web -o yaml", other);
    expect(json).toMatchObject({ kind: "Pod", name: "web", lastError: { replica: "operator-a" } });
    expect(parse(other.output())).toEqual(json);
  });

  it("goes on without the replicas that do not answer, and says which", async () => {
    await world.addReplica("operator-0", { listens: false });
    expect(await run("explain pod shop/web")).toBe(true);
    expect(shell.output()).toContain("by attest at operator-a");
    expect(shell.notes).toEqual([
      'operator-0 did not answer: cannot reach port 8090 of pod "signet-system/operator-0": nothing listens there (connection refused)',
    ]);
  });

  it("fails for a pod that is not there", async () => {
    await expect(run("explain pod shop/nobody")).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: 'the operator knows no pod "shop/nobody"',
    });
  });
});

describe("explain a custom resource", () => {
  it("shows its state and its pods", async () => {
    const pod = fakePod("web");
    world.registry.pods.push(pod);
    world.issues["operator-a"] ??= {};
    world.issues["operator-a"]["uid-web"] = {
      issued: { by: "attest", at: NOW, notAfter: NOW + 1_800_000, spiffeIds: [] },
      failed: { by: "renew", at: NOW, code: "UNAVAILABLE", message: "no CA" },
    };
    world.registry.rules.push({
      kind: "ClusterSPIFFEID",
      name: "web",
      uid: "uid-cr",
      clause: "1 pod failed",
      status: {
        kind: "ClusterSPIFFEID",
        name: "web",
        observedGeneration: 1,
        stats,
        ready: false,
        reason: "RenderFailed",
        message: "1 pod failed",
        failures: [{ pod: "shop/bad", message: "no such label" }],
      },
      pods: [
        { pod: "shop/bad", outcome: "failed", clause: "render failed: no such label" },
        {
          pod: "shop/web",
          outcome: "set",
          clause: "it gives the pod an entry",
          entry: fakeEntry(pod, { dnsNames: ["a", "b"] }),
        },
      ],
    });
    expect(await run("explain clusterspiffeid web")).toBe(true);
    expect(shell.output()).toBe(`\
ClusterSPIFFEID:  web
UID:              uid-cr
Ready:            False (RenderFailed): 1 pod failed
Counts:           namespacesSelected 1, podsSelected 2, podEntryRenderFailures 1, entriesToSet 1

Failures:
  POD       WHY
  shop/bad  no such label

POD       RESULT  SPIFFE ID                             DNS NAMES  ISSUED UNTIL                   WHY
shop/bad  failed  -                                     -          -                              render failed: no such label
shop/web  set     spiffe://example.org/ns/shop/pod/web  a,b        2026-01-01T12:30:00Z (in 30m)  it gives the pod an entry; last error: UNAVAILABLE: no CA
`);
  });

  it("says why one has no state here", async () => {
    world.registry.rules.push({
      kind: "ClusterStaticEntry",
      name: "web",
      uid: "uid-cr",
      clause: "it is of another class",
      status: undefined,
      pods: [],
    });
    expect(await run("explain clusterstaticentry web")).toBe(true);
    expect(shell.output()).toBe(
      "ClusterStaticEntry:  web\nUID:                 uid-cr\nNote:                it is of another class\n",
    );
  });

  it("fails for one that is not there", async () => {
    await expect(run("explain clusterstaticentry web")).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: 'the operator knows no ClusterStaticEntry "web"',
    });
  });
});

const manifest = (kind: string, name: string, spec = "{}"): string =>
  `apiVersion: spire.spiffe.io/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`;

describe("render", () => {
  const files = {
    "good.yaml": manifest("ClusterSPIFFEID", "web"),
    "all.yaml": [
      manifest("ClusterSPIFFEID", "web"),
      "kind: Service\nmetadata: { name: web }\n",
      manifest("ClusterSPIFFEID", "bad"),
      manifest("ClusterFederatedTrustDomain", "peer"),
    ].join("---\n"),
    "none.yaml": "kind: Service\nmetadata: { name: web }\n",
    "broken.yaml": "a: [",
    "-": manifest("ClusterStaticEntry", "one"),
  };
  const problem = {
    reason: "InvalidTemplate",
    field: "spec.spiffeIDTemplate",
    message: 'spec.spiffeIDTemplate: 1:4: function "x" not defined\u001b[2J',
  };

  beforeEach(() => {
    shell = recordedShell(world, files);
    world.registry.previews = (name) =>
      name === "bad"
        ? fakePreview({ name, problems: [problem] })
        : fakePreview({
            name,
            doubts: [{ reason: "SelectsAll", field: "spec", message: "it selects every pod" }],
            namespacesSelected: 3,
            namespacesIgnored: 1,
            podsSelected: 1200,
            podsTried: 1000,
            outcomes: { ...fakePreview().outcomes, set: 999, failed: 1 },
            duplicates: 2,
            pods: [
              { pod: "shop/bad", outcome: "failed", clause: "no label" },
              {
                pod: "shop/web",
                outcome: "set",
                clause: "new",
                entry: fakeEntry(fakePod("web")),
                duplicateOf: "ClusterSPIFFEID old",
              },
              {
                pod: "shop/copy",
                outcome: "masked",
                clause: "masked by ClusterSPIFFEID old",
                duplicateOf: "ClusterSPIFFEID old",
              },
            ],
          });
  });

  it("shows what an object would give", async () => {
    expect(await run("render -f good.yaml")).toBe(true);
    expect(shell.output()).toBe(`\
ClusterSPIFFEID:  web
Valid:            yes
Namespaces:       3 selected, 1 of them ignored
Pods:             1200 selected, the first 1000 of them tried
Results:          set 999, failed 1
Duplicates:       2 of the pods have an equal entry of another object already
Doubts:
  it selects every pod

POD        RESULT  SPIFFE ID                             WHY
shop/bad   failed  -                                     no label
shop/web   set     spiffe://example.org/ns/shop/pod/web  new; equal to an entry of ClusterSPIFFEID old
shop/copy  masked  -                                     masked by ClusterSPIFFEID old
`);
  });

  it("is not well when one of several is invalid, and shows them all", async () => {
    expect(await run("render -f all.yaml")).toBe(false);
    expect(shell.notes).toEqual(["passed over: Service web"]);
    expect(shell.output()).toMatch(
      /ClusterSPIFFEID: {2}web\nValid: {12}yes[^]*\n\nClusterSPIFFEID: {2}bad\nValid: {12}no\nProblems:\n/,
    );
    expect(shell.output()).toContain(
      'Problems:\n  spec.spiffeIDTemplate: 1:4: function "x" not defined [2J\n',
    );
    expect(shell.output()).toMatch(/ClusterFederatedTrustDomain: {2}peer\nValid: +no\nProblems:\n/);
  });

  it("prints a list as JSON and YAML", async () => {
    expect(await run("render -f all.yaml -o json")).toBe(false);
    const json = JSON.parse(shell.output()) as { items: { name: string; problems: unknown[] }[] };
    expect(json.items.map(({ name, problems }) => [name, problems.length > 0])).toEqual([
      ["web", false],
      ["bad", true],
      ["peer", true],
    ]);
    const other = recordedShell(world, files);
    await run("render -f all.yaml -o yaml", other);
    expect(parse(other.output())).toEqual(json);
  });

  it("says that an object is of another operator", async () => {
    world.registry.previews = (name) => fakePreview({ name, foreign: true });
    expect(await run("render -f good.yaml")).toBe(true);
    expect(shell.output()).toBe(
      "ClusterSPIFFEID:  web\nValid:            yes\nNote:             it is of another operator's class, and was not tried\n",
    );
  });

  it("reads standard input", async () => {
    expect(await run("render -f -")).toBe(true);
    expect(world.registry.previewed).toMatchObject([{ kind: "ClusterStaticEntry" }]);
  });

  it.each([
    ["none.yaml", "INVALID_SPEC", "none.yaml: it holds no object that can be rendered"],
    ["nowhere.yaml", "SYSTEM", "nowhere.yaml: no file nowhere.yaml"],
    ["broken.yaml", "MALFORMED", /^broken.yaml: .*line 1/],
  ])("fails for %s before it asks anybody", async (file, code, message) => {
    await expect(run(`render -f ${file}`)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
    expect(world.api.requests).toEqual([]);
  });

  it("says which object the operator could not render", async () => {
    world.registry.previews = () => {
      throw new SignetError("UNAVAILABLE", "the API server is away");
    };
    await expect(run("render -f good.yaml")).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: "ClusterSPIFFEID web: the API server is away",
    });
  });
});

describe("entries", () => {
  beforeEach(() => {
    for (const name of ["b", "a"]) {
      const pod = fakePod(name);
      world.registry.pods.push(pod);
      world.registry.all.push(
        fakeEntry(pod, { dnsNames: ["x", "y"], downstream: true, hint: "h" }),
      );
    }
  });

  it("are a table by pod", async () => {
    expect(await run("entries")).toBe(true);
    expect(shell.output()).toBe(`\
NAMESPACE  POD  NODE    SPIFFE ID                           SOURCE
shop       a    node-a  spiffe://example.org/ns/shop/pod/a  ClusterSPIFFEID/web
shop       b    node-a  spiffe://example.org/ns/shop/pod/b  ClusterSPIFFEID/web
`);
  });

  it("are a wide table", async () => {
    await run("entries -o wide");
    const [head, first] = shell
      .output()
      .replaceAll(/[0-9a-f]{32}/g, "ID")
      .split("\n");
    expect(head?.split(/ {2,}/).slice(5)).toEqual([
      "X509-TTL",
      "JWT-TTL",
      "DNS NAMES",
      "HINT",
      "FLAGS",
      "FEDERATES WITH",
      "SELECTORS",
      "PARENT ID",
      "ENTRY ID",
    ]);
    expect(first?.split(/ {2,}/).slice(5)).toEqual([
      "1h",
      "-",
      "x,y",
      "h",
      "downstream",
      "-",
      "k8s:pod-uid:uid-a",
      "spiffe://example.org/spire/agent/k8s_psat/kind/uid-node-a",
      "ID",
    ]);
  });

  it("are the same as JSON and YAML", async () => {
    await run("entries -o json");
    const json = JSON.parse(shell.output()) as { items: EntryView[] };
    expect(json.items.map(({ pod }) => pod)).toEqual(["a", "b"]);
    const other = recordedShell(world);
    await run("entries -o yaml", other);
    expect(parse(other.output())).toEqual(json);
  });

  it("are filtered by the operator", async () => {
    await run("entries -n nowhere");
    expect([shell.output(), shell.notes]).toEqual(["", ["no entries"]]);
    const other = recordedShell(world);
    await run("entries --source clusterspiffeid/web --node node-a -n shop -o json", other);
    expect(JSON.parse(other.output())).toHaveProperty("items.length", 2);
    const none = recordedShell(world);
    await run("entries --node x -o json", none);
    expect(JSON.parse(none.output())).toEqual({ items: [] });
  });

  it("come by the hundred thousand", async () => {
    const [entry] = world.registry.all;
    world.registry.entries = function* () {
      if (entry) for (let at = 0; at < 100_000; at += 1) yield entry;
    };
    expect(await run("entries")).toBe(true);
    expect(shell.output().match(/\n/g)).toHaveLength(100_001);
  });

  it("fail when the list breaks off", async () => {
    const [entry] = world.registry.all;
    world.registry.entries = function* () {
      if (entry) for (let at = 0; at < 1000; at += 1) yield entry;
      throw new Error("changed");
    };
    await expect(run("entries")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(shell.output()).toBe("");
  });
});

describe("version", () => {
  it("is that of the program and of every replica", async () => {
    await world.addReplica("operator-b");
    expect(await run("version")).toBe(true);
    expect(shell.output()).toBe(
      "client:      1.2.3\noperator-a:  1.2.3, trust domain example.org\noperator-b:  1.2.3, trust domain example.org\n",
    );
  });

  it("of the program alone asks nobody", async () => {
    expect(await run("version --client -o json")).toBe(true);
    expect(JSON.parse(shell.output())).toEqual({ client: "1.2.3" });
    expect(world.api.requests).toEqual([]);
  });

  it("is noted once when program and operator differ", async () => {
    await world.addReplica("operator-b");
    await run("version", { ...shell, version: "2.0.0" });
    expect(shell.notes).toEqual(["the operator is version 1.2.3, this program 2.0.0"]);
  });
});

describe("the operator", () => {
  it("is asked at a ready replica first, and at the next one where nothing listens", async () => {
    await world.addReplica("operator-0", { ready: false });
    await world.addReplica("operator-00", { listens: false });
    expect(await run("entries -o json")).toBe(true);
    const asked = world.forwards.requests.map(({ url = "" }) => /pods\/([^/]+)/.exec(url)?.[1]);
    expect(asked).toEqual(["operator-00", "operator-a"]);
  });

  it("is missed with what was looked for", async () => {
    await expect(run("entries --signet-namespace elsewhere")).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringMatching(
        /no pod with the labels app.kubernetes.io\/name=signet,.* in namespace "elsewhere".*--signet-namespace/,
      ) as string,
    });
  });

  it("is not asked where the right is missing, and the right is named", async () => {
    const message = "User may not";
    world.forwards.refusal = {
      status: "403 Forbidden",
      body: JSON.stringify({ kind: "Status", reason: "Forbidden", message }),
    };
    await expect(run("entries")).rejects.toThrow(/User may not.*create on pods\/portforward/);
    world.api.intercept = () => ({
      status: 403,
      body: { kind: "Status", reason: "Forbidden", message },
    });
    await expect(run("entries")).rejects.toThrow(/User may not.*verb list on pods/);
  });

  it("is told from something else on its port", async () => {
    await answerInstead((response) => response.end("{}"));
    await expect(run("entries")).rejects.toThrow(/not Signet's operator/);
  });

  it("is not believed when it counts other entries than it sent", async () => {
    await answerInstead((response) => {
      response.setHeader("signet-version", VERSION);
      response.end('{"end":{"entries":1}}\n');
    });
    await expect(run("entries")).rejects.toThrow(/list of entries broke off/);
  });
});

/** Puts another HTTP server behind the port of the operator's pod. */
async function answerInstead(answer: (response: ServerResponse) => void): Promise<void> {
  const server = createServer((_request, response) => answer(response));
  server.unref();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  world.forwards.pods.set("signet-system/operator-a", new Map([[8090, port]]));
}
