import { readFileSync } from "node:fs";
import { credentials } from "@grpc/grpc-js";
import { createLocalJWKSet, jwtVerify } from "jose";
import type { JSONWebKeySet } from "jose";
import { afterEach, describe, expect, it } from "vitest";
import { CONFIG_MAPS, PODS, SECRETS } from "../../src/kube/resources.ts";
import type { ConfigMap, Pod, Secret } from "../../src/kube/types.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { eventually } from "../controllers/cluster.ts";
import { IS_ROOT } from "../csi/fixtures.ts";
import { openWorld } from "./world.ts";
import type { World } from "./world.ts";

const OPERATOR = {
  jwtAlgorithm: "RS256",
  jwtIssuer: "https://oidc.example.org",
  jwtSvidTtl: "90s",
  jwtClaims: { "example.org/namespace": "{{ .PodMeta.Namespace }}" },
};

/** As the whole of the world, which can mount. */
describe.skipIf(!IS_ROOT)("an operator that is told how to make JWT-SVIDs", () => {
  let world: World;
  afterEach(() => world.close());

  const published = (): { readonly json: string; readonly pem: string } | undefined => {
    const { data } = world.api.objects<ConfigMap>(CONFIG_MAPS)[0] ?? {};
    const { "bundle.json": json, "bundle.pem": pem } = data ?? {};
    return json === undefined || pem === undefined ? undefined : { json, pem };
  };
  /** What the agent of the node would ask. */
  async function ask(podUid: string) {
    const root = Buffer.from(published()?.pem ?? "");
    const { issuerPort } = world.config.operator;
    const client = rpcClient(`127.0.0.1:${issuerPort}`, credentials.createSsl(root), {
      "grpc.ssl_target_name_override": "signet-operator.signet-system.svc",
    });
    const token = readFileSync(world.config.agent.tokenFile, "utf8");
    const headers = { authorization: `Bearer ${token}` };
    const request = { podUid, audiences: ["db"] };
    return client.unary(Issuer.method.issueJwt, request, { headers }).finally(() => client.close());
  }

  it("publishes its keys, and issues tokens that they verify", async () => {
    world = await openWorld({ operator: OPERATOR });
    await world.startOperator();
    world.putRule("web", { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/web" });
    const pod = world.createPod("web");
    await eventually(() => expect(published()).toBeDefined());
    const { svids } = await eventually(() => ask(pod.uid));
    const { keys } = JSON.parse(published()?.json ?? "") as JSONWebKeySet;
    const jwtKeys = keys.filter(({ use }) => use === "jwt-svid");
    expect(jwtKeys).toMatchObject([{ kty: "RSA", alg: "RS256" }]);
    const usable = createLocalJWKSet({ keys: jwtKeys.map((key) => ({ ...key, use: "sig" })) });
    const { payload } = await jwtVerify(svids[0]?.token ?? "", usable, { audience: "db" });
    expect(payload).toMatchObject({
      iss: "https://oidc.example.org",
      sub: "spiffe://example.org/web",
      "example.org/namespace": "shop",
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(90);
    const metrics = await fetch(`http://127.0.0.1:${world.config.operator.healthPort}/metrics`);
    expect(await metrics.text()).toMatch(/^signet_issuer_jwt_svids_total 1$/m);
    const logged = JSON.stringify(world.log.lines);
    for (const part of svids[0]?.token.split(".") ?? []) expect(logged).not.toContain(part);
  });

  it("refuses to start with a claim that it would have to overwrite", async () => {
    world = await openWorld({ operator: { jwtClaims: { sub: "x" } } });
    await expect(async () => world.startOperator()).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining('operator.jwtClaims["sub"]') as string,
    });
    expect(world.api.objects<Secret>(SECRETS)).toEqual([]);
    expect(world.api.objects<Pod>(PODS)).toHaveLength(1);
  });
});
