import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import { execCredential } from "../../src/kube/exec-credential.ts";
import type { ExecCredential } from "../../src/kube/exec-credential.ts";
import { parseCredential, parseExecPlugin } from "../../src/kube/exec-plugin.ts";
import type { ExecPlugin } from "../../src/kube/exec-plugin.ts";
import { loadKubeconfig } from "../../src/kube/kubeconfig.ts";
import { PODS } from "../../src/kube/resources.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";

const V1 = "client.authentication.k8s.io/v1";
const CLUSTER = { fields: { server: "https://one", "tls-server-name": "kube" }, ca: "the ca" };

const parse = (exec: object): ExecPlugin =>
  parseExecPlugin({ apiVersion: V1, command: "login", ...exec }, "me", CLUSTER);

describe("an exec plugin", () => {
  it("has arguments, environment, hint and mode", () => {
    const plugin = parse({
      args: ["get-token", "--cluster", "a b"],
      env: [{ name: "PROFILE", value: "prod" }, { name: "EMPTY" }],
      installHint: "get it from https://example.org",
      interactiveMode: "Never",
    });
    expect(plugin).toEqual({
      apiVersion: V1,
      command: "login",
      args: ["get-token", "--cluster", "a b"],
      env: { PROFILE: "prod", EMPTY: "" },
      installHint: "get it from https://example.org",
      interactiveMode: "Never",
    });
  });

  it("is told of the cluster only when it wants to be", () => {
    expect(parse({}).cluster).toBeUndefined();
    const extensions = [
      { name: "client.authentication.k8s.io/exec", extension: { audience: "x" } },
    ];
    const plugin = parseExecPlugin(
      { apiVersion: V1, command: "login", provideClusterInfo: true },
      "me",
      { ...CLUSTER, fields: { ...CLUSTER.fields, extensions } },
    );
    expect(plugin.cluster).toEqual({
      server: "https://one",
      "tls-server-name": "kube",
      "certificate-authority-data": Buffer.from("the ca").toString("base64"),
      config: { audience: "x" },
    });
  });

  it.each([
    ["no map", "aws", /not a map/],
    ["no command", { apiVersion: V1 }, /no command/],
    ["an old API version", { apiVersion: `${V1}alpha1`, command: "aws" }, /v1alpha1.*update aws/],
    ["arguments that are no texts", { apiVersion: V1, command: "a", args: [1] }, /exec.args/],
    ["an unnamed variable", { apiVersion: V1, command: "a", env: [{ value: "x" }] }, /exec.env/],
    ["an unknown mode", { apiVersion: V1, command: "a", interactiveMode: "Maybe" }, /"Maybe"/],
  ])("is refused with %s", (_, exec, message) => {
    expect(() => parseExecPlugin(exec, "me", CLUSTER)).toThrow(message);
  });
});

describe("what a plugin prints", () => {
  const plugin = parse({});
  const printed = (status: object, root: object = {}): string =>
    JSON.stringify({ apiVersion: V1, kind: "ExecCredential", status, ...root });

  it("is a token, a certificate, or both, with an expiry", () => {
    const status = {
      token: "t",
      clientCertificateData: "c",
      clientKeyData: "k",
      expirationTimestamp: "2030-01-01T00:00:00Z",
    };
    expect(parseCredential(printed(status), plugin)).toEqual({
      token: "t",
      clientCertificate: { cert: "c", key: "k" },
      expiresAt: Date.UTC(2030, 0, 1),
    });
    expect(parseCredential(printed({ token: "t" }), plugin)).toEqual({ token: "t" });
  });

  it.each([
    ["text that is no JSON", "token: secret-1", /did not print a JSON object/],
    [
      "another API version",
      printed({ token: "secret-1" }, { apiVersion: "v1" }),
      /no ExecCredential/,
    ],
    ["nothing", printed({}), /neither a token nor/],
    ["half a certificate", printed({ clientKeyData: "secret-1" }), /only one of/],
    ["a broken time", printed({ token: "secret-1", expirationTimestamp: "soon" }), /no time/],
  ])("is refused when it is %s, and not repeated", (_, output, message) => {
    expect(() => parseCredential(output, plugin)).toThrow(message);
    expect(() => parseCredential(output, plugin)).not.toThrow(/secret-1/);
  });
});

describe("a credential", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "signet-exec-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function script(name: string, lines: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, `#!/bin/sh\n${lines}\n`);
    await chmod(path, 0o755);
    return path;
  }

  function credential(
    command: string,
    exec: object = {},
    around: { now?: () => number; interactive?: boolean } = {},
  ): ExecCredential {
    return execCredential(parse({ command, ...exec }), {
      env: { PATH: process.env["PATH"], OUTER: "outer" },
      interactive: false,
      now: Date.now,
      ...around,
    });
  }

  /** Prints a token made of a run's number, and counts runs in a file. */
  const counting = (name: string, expiry = ""): Promise<string> =>
    script(
      name,
      `n=$(($(cat ${folder}/${name}.runs 2>/dev/null || echo 0) + 1)); echo $n >${folder}/${name}.runs
printf '{"apiVersion":"${V1}","kind":"ExecCredential","status":{"token":"token-%s"${expiry}}}' $n`,
    );

  it("comes from the program, without a shell, in the caller's environment and its own", async () => {
    const path = await script(
      "echo",
      `printf '%s|' "$#" "$1" "$OUTER" "$OWN" "$KUBERNETES_EXEC_INFO" >${folder}/seen
printf '{"apiVersion":"${V1}","kind":"ExecCredential","status":{"token":"t"}}'`,
    );
    const found = credential(path, { args: ["$(id); a b"], env: [{ name: "OWN", value: "own" }] });
    expect(found.current()).toBeUndefined();
    await found.refresh();
    expect(found.current()?.token).toBe("t");
    const [count, argument, outer, own, info = ""] = (
      await readFile(join(folder, "seen"), "utf8")
    ).split("|");
    expect([count, argument, outer, own]).toEqual(["1", "$(id); a b", "outer", "own"]);
    expect(JSON.parse(info)).toEqual({
      apiVersion: V1,
      kind: "ExecCredential",
      spec: { interactive: false },
    });
  });

  it("is kept until it runs out, and fetched once for all who wait", async () => {
    let now = Date.UTC(2030, 0, 1) - 1;
    const path = await counting("expiring", `,"expirationTimestamp":"2030-01-01T00:00:00Z"`);
    const found = credential(path, {}, { now: () => now });
    await Promise.all([found.refresh(), found.refresh()]);
    await found.refresh();
    expect(found.current()?.token).toBe("token-1");
    now += 1;
    await found.refresh();
    expect(found.current()?.token).toBe("token-2");
  });

  it("is kept for good when it does not expire", async () => {
    const found = credential(await counting("lasting"), {}, { now: () => 1e15 });
    await found.refresh();
    await found.refresh();
    expect(found.current()?.token).toBe("token-1");
  });

  it("is missed with the hint when the program is not there", async () => {
    const found = credential("/nowhere/aws", { installHint: "install the AWS CLI" });
    await expect(found.refresh()).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringMatching(
        /\/nowhere\/aws cannot be started.*\ninstall the AWS CLI/,
      ) as string,
    });
  });

  it("is missed when the program fails", async () => {
    const found = credential(await script("fail", "exit 7"));
    await expect(found.refresh()).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
      message: expect.stringContaining("failed with 7") as string,
    });
  });

  it("is not read beyond a megabyte", async () => {
    const found = credential(await script("flood", "exec yes"));
    await expect(found.refresh()).rejects.toThrow(/printed too much/);
  });

  it("is not asked for where nobody can answer", async () => {
    const found = credential(await counting("asking"), { interactiveMode: "Always" });
    await expect(found.refresh()).rejects.toThrow(/standard input is no terminal/);
  });

  it("is renewed before a request when it has run out", async () => {
    const path = await counting("client", `,"expirationTimestamp":"2030-01-01T00:00:00Z"`);
    await using api = await startFakeApiServer({ tokens: ["token-1", "token-2"] });
    let now = 0;
    const config = loadKubeconfig(
      JSON.stringify({
        "current-context": "c",
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        clusters: [
          {
            name: "c",
            cluster: {
              server: api.url,
              "certificate-authority-data": Buffer.from(api.ca).toString("base64"),
            },
          },
        ],
        users: [{ name: "u", user: { exec: { apiVersion: V1, command: path } } }],
      }),
      { exec: { env: process.env, interactive: false, now: () => now } },
    );
    const client = createKubeClient({ config, clock: systemClock() });
    await client.list(PODS);
    now = Date.UTC(2031, 0, 1);
    await client.list(PODS);
    await client.close();
    expect(api.requests.map(({ headers }) => headers["authorization"])).toEqual([
      "Bearer token-1",
      "Bearer token-2",
    ]);
  });
});
