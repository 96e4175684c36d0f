import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, importPKCS8, SignJWT } from "jose";
import type { JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isSignetError } from "../../../src/core/errors.ts";
import { Issuer } from "../../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type { IssueResponse } from "../../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { openIssuer, tokenOf } from "../issuer-access.ts";
import type { IssuerAccess } from "../issuer-access.ts";
import { clusterSpiffeId, NAMESPACE, openWorld, signetPods, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-boundary";
const DENIED = "PERMISSION_DENIED";
const UNKNOWN = "UNAUTHENTICATED";

let world: World;
let issuers: IssuerAccess[];
/** Pods on the first and the second worker, and the agents beside them. */
let here: Json;
let neighbour: Json;
let there: Json;
let agentHere: Json;
let agentThere: Json;

beforeAll(async () => {
  world = await openWorld();
  const [a, b] = world.cluster.workers as [string, string];
  await world.namespace(NS);
  await world.apply(
    clusterSpiffeId(NS, NS, { spiffeIDTemplate: "spiffe://{{.TrustDomain}}/{{.PodMeta.Name}}" }),
    workloadPod(world, { name: "here", namespace: NS, node: a }),
    workloadPod(world, { name: "neighbour", namespace: NS, node: a }),
    workloadPod(world, { name: "there", namespace: NS, node: b }),
    workloadPod(world, { name: "doomed", namespace: NS, node: a }),
  );
  [here, neighbour, there] = await Promise.all(
    ["here", "neighbour", "there"].map((name) => world.ready(NS, name)),
  );
  const agents = await signetPods(world, "agent");
  [agentHere, agentThere] = [a, b].map((n) => agents.find((agent) => agent.spec.nodeName === n));
  const operators = await signetPods(world, "operator");
  issuers = await Promise.all(operators.map((pod) => openIssuer(world, pod.metadata.name)));
});

afterAll(async () => {
  await Promise.all(issuers.map((issuer) => issuer.close()));
  await world.remove("clusterspiffeid", NS);
  await world.remove("namespace", NS, undefined, ["--wait=false"]);
});

const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
const publicKey = keys.publicKey.export({ type: "spki", format: "der" });

/** A call may wait this long: all that must be refused is refused at once, and there are identities. */
const soon = () => ({ deadline: Date.now() + 20_000 });

interface Ask {
  readonly pod: Json;
  /** The token the agent shows; none is sent when it is left out. */
  readonly agentToken?: string;
}

function renew({ pod, agentToken }: Ask, issuer = issuers[0]): Promise<IssueResponse> {
  const headers = agentToken === undefined ? {} : { authorization: `Bearer ${agentToken}` };
  const request = { podUid: pod.metadata.uid, publicKey };
  if (issuer === undefined) throw new Error("no issuer");
  return issuer.client.unary(Issuer.method.renew, request, { headers, ...soon() });
}

function attest(
  { pod, agentToken, podToken }: Ask & { readonly podToken: string },
  issuer = issuers[0],
): Promise<IssueResponse> {
  const headers = agentToken === undefined ? {} : { authorization: `Bearer ${agentToken}` };
  const request = { podUid: pod.metadata.uid, podToken, publicKey, noWait: true };
  if (issuer === undefined) throw new Error("no issuer");
  return issuer.client.unary(Issuer.method.attest, request, { headers, ...soon() });
}

/** The code of the refusal; "issued" when there was none. */
function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "issued",
    (error: unknown) => (isSignetError(error) ? error.code : String(error)),
  );
}

function checkSvid({ svids }: IssueResponse, name: string, bundle: string): void {
  const leaf = new X509Certificate(svids[0]?.chain[0] ?? Buffer.alloc(0));
  expect(leaf.subjectAltName).toBe(`URI:spiffe://example.org/${name}`);
  // The CA may have been changed before: then the bundle holds its former authorities too.
  const authorities = bundle.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
  expect(authorities.some((pem) => leaf.verify(new X509Certificate(pem).publicKey))).toBe(true);
  expect(leaf.checkPrivateKey(keys.privateKey)).toBe(true);
}

describe("an agent with its own token", () => {
  it("gets SVIDs for the pods of its node from every replica", async () => {
    expect(issuers).toHaveLength(2);
    const agentToken = await tokenOf(world, agentHere);
    const podToken = await tokenOf(world, here);
    for (const issuer of issuers) {
      checkSvid(await attest({ pod: here, agentToken, podToken }, issuer), "here", issuer.bundle);
      checkSvid(await renew({ pod: here, agentToken }, issuer), "here", issuer.bundle);
    }
  });

  it("is refused for a pod of the other node, also with that pod's valid token", async () => {
    const agentToken = await tokenOf(world, agentHere);
    const podToken = await tokenOf(world, there);
    const other = await tokenOf(world, agentThere);
    for (const issuer of issuers) {
      expect(await outcome(attest({ pod: there, agentToken, podToken }, issuer))).toBe(DENIED);
      expect(await outcome(renew({ pod: there, agentToken }, issuer))).toBe(DENIED);
      // Nothing but the node was wrong.
      expect(await outcome(attest({ pod: there, agentToken: other, podToken }, issuer))).toBe(
        "issued",
      );
    }
  });

  it("is told of no pod of the other node", async () => {
    const headers = { authorization: `Bearer ${await tokenOf(world, agentHere)}` };
    const told = new Set<string>();
    const [issuer] = issuers;
    for await (const { update } of issuer?.client.stream(
      Issuer.method.watch,
      { agentVersion: "test" },
      { headers, ...soon() },
    ) ?? []) {
      if (update.case === "synced") break;
      if (update.case === "pod") told.add(update.value.podUid);
    }
    expect(told).toContain(here.metadata.uid);
    expect(told).toContain(neighbour.metadata.uid);
    expect(told).not.toContain(there.metadata.uid);
  });
});

describe("a pod's token", () => {
  it("is refused when it is another pod's, for another audience, of a foreign key, or nothing", async () => {
    const agentToken = await tokenOf(world, agentHere);
    const ask = (podToken: string) => outcome(attest({ pod: here, agentToken, podToken }));
    const own = await tokenOf(world, here);
    expect(await ask(own)).toBe("issued");
    expect(await ask(await tokenOf(world, neighbour))).toBe(DENIED);
    expect(await ask(agentToken)).toBe(DENIED);
    expect(await ask(await tokenOf(world, here, "vault"))).toBe(UNKNOWN);
    expect(await ask(await signed(own, {}, foreignKey()))).toBe(UNKNOWN);
    expect(await ask(`${own.slice(0, -4)}AAAA`)).toBe(UNKNOWN);
    expect(await ask("")).toBe(UNKNOWN);
  });

  it("is refused when it has expired, or speaks of another service account", async () => {
    const agentToken = await tokenOf(world, agentHere);
    const ask = (podToken: string) => outcome(attest({ pod: here, agentToken, podToken }));
    const own = await tokenOf(world, here);
    const key = await clusterKey();
    const now = Math.floor(Date.now() / 1000);
    const bound = decodeJwt(own)["kubernetes.io"] as Json;
    const serviceaccount = { name: "builder", uid: bound.serviceaccount.uid };
    const stolen = { "kubernetes.io": { ...bound, serviceaccount } };
    // The cluster's own key: what is refused below is refused for the claim alone.
    expect(await ask(await signed(own, {}, key))).toBe("issued");
    expect(await ask(await signed(own, { exp: now - 1 }, key))).toBe(UNKNOWN);
    expect(await ask(await signed(own, { nbf: now + 600 }, key))).toBe(UNKNOWN);
    expect(await ask(await signed(own, { iss: "https://elsewhere" }, key))).toBe(UNKNOWN);
    expect(await ask(await signed(own, stolen, key))).toBe(DENIED);
  });

  it("is of no use once its pod is gone", async () => {
    const doomed = await world.ready(NS, "doomed");
    const agentToken = await tokenOf(world, agentHere);
    const podToken = await tokenOf(world, doomed);
    expect(await outcome(attest({ pod: doomed, agentToken, podToken }))).toBe("issued");
    await world.remove("pod", "doomed", NS);
    for (const issuer of issuers) {
      await expect
        .poll(() => outcome(renew({ pod: doomed, agentToken }, issuer)), { timeout: 20_000 })
        .toBe("POD_GONE");
      expect(await outcome(attest({ pod: doomed, agentToken, podToken }, issuer))).toBe("POD_GONE");
    }
    // A successor of the same name is another pod.
    const node = here.spec.nodeName;
    await world.apply(workloadPod(world, { name: "doomed", namespace: NS, node }));
    await world.ready(NS, "doomed");
    expect(await outcome(attest({ pod: doomed, agentToken, podToken }))).toBe("POD_GONE");
  });
});

describe("a caller that is no agent", () => {
  it("is refused with a pod's token, a foreign key's, an expired one, an unbound one, or none", async () => {
    const podToken = await tokenOf(world, here);
    const agentToken = await tokenOf(world, agentHere);
    const key = await clusterKey();
    const past = { exp: Math.floor(Date.now() / 1000) - 1 };
    const unbound = await world.cluster.kubectl(
      `create token signet-agent -n ${NAMESPACE} --audience=signet`.split(" "),
    );
    const callers: [string | undefined, string][] = [
      [agentToken, "issued"],
      [podToken, DENIED],
      [await tokenOf(world, agentHere, "vault"), UNKNOWN],
      [await signed(agentToken, {}, foreignKey()), UNKNOWN],
      [await signed(agentToken, past, key), UNKNOWN],
      [unbound.trim(), UNKNOWN],
      [undefined, UNKNOWN],
    ];
    for (const [caller, expected] of callers) {
      const ask = { pod: here, ...(caller === undefined ? {} : { agentToken: caller }) };
      expect(await outcome(renew(ask))).toBe(expected);
      expect(await outcome(attest({ ...ask, podToken }))).toBe(expected);
    }
  });
});

describe("the operator", () => {
  it("shows its SPIFFE ID, alone, in a chain that the published bundle verifies", async () => {
    for (const issuer of issuers) {
      const socket = await issuer.dial();
      expect(socket.authorized).toBe(true);
      const names = socket.getPeerX509Certificate()?.subjectAltName?.split(", ") ?? [];
      expect(names.filter((name) => name.startsWith("URI:"))).toEqual([
        "URI:spiffe://example.org/signet/operator",
      ]);
      expect(names).toContain(`DNS:signet-operator.${NAMESPACE}.svc`);
      socket.destroy();
    }
  });
});

describe("the agents' service account", () => {
  it("may do nothing that any account may not, and nothing is bound to it", async () => {
    const rights = (account: string): Promise<string> =>
      world.cluster.kubectl(
        `auth can-i --list -n ${NAMESPACE} --as=system:serviceaccount:${NAMESPACE}:${account}`.split(
          " ",
        ),
      );
    expect(await rights("signet-agent")).toBe(await rights("default"));
    expect(await rights("signet-operator")).not.toBe(await rights("default"));
    const bindings = await Promise.all([
      world.list("clusterrolebindings"),
      world.list("rolebindings", ["-A"]),
    ]);
    const subjects = bindings.flat().flatMap((binding) => binding.subjects ?? []);
    expect(subjects.map(({ name }) => name)).toContain("signet-operator");
    expect(subjects.map(({ name }) => name)).not.toContain("signet-agent");
  });
});

function foreignKey(): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/** The key that the API server signs service-account tokens with, as PKCS#8. */
async function clusterKey(): Promise<string> {
  const { cluster } = world;
  const file = await cluster.onNode(cluster.controlPlane, ["cat", "/etc/kubernetes/pki/sa.key"]);
  return createPrivateKey(file.stdout).export({ type: "pkcs8", format: "pem" }).toString();
}

/** The same token with other claims, signed with `pem`. */
async function signed(token: string, claims: JWTPayload, pem: string): Promise<string> {
  const { kid = "" } = decodeProtectedHeader(token);
  return new SignJWT({ ...decodeJwt(token), ...claims })
    .setProtectedHeader({ alg: "RS256", kid })
    .sign(await importPKCS8(pem, "RS256"));
}
