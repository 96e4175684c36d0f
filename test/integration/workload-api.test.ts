import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509Certificate } from "node:crypto";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ServiceGroup } from "../../src/core/lifecycle.ts";
import { CLUSTER_SPIFFE_IDS } from "../../src/api/resources.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import type { X509SVIDResponse } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import { eventually } from "../controllers/cluster.ts";
import { IS_ROOT } from "../csi/fixtures.ts";
import type { FakePod } from "../fakes/kubelet.ts";
import { HEADERS, read } from "../workload-api/world.ts";
import { openWorld } from "./world.ts";
import type { World } from "./world.ts";

const ID =
  "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";
const WEB = "spiffe://example.org/ns/shop/sa/web";
const { method } = SpiffeWorkloadAPI;

/** Mounting needs root. */
describe.skipIf(!IS_ROOT)("the Workload API of a pod", () => {
  let world: World;
  let agent: ServiceGroup;
  let links: string;
  let pod: FakePod;
  let client: RpcClient;

  beforeAll(async () => {
    links = mkdtempSync(join(tmpdir(), "links-"));
    world = await openWorld({ ttlMs: 20_000 });
    await world.startOperator();
    agent = await world.startAgent();
    world.putRule("web", { spiffeIDTemplate: ID, podSelector: { matchLabels: { app: "web" } } });
    pod = world.createPod("web");
    await world.mount(pod);
    // A pod sees its volume at a short path of its own; here a link stands for that mount.
    symlinkSync(world.kubelet.target(pod), join(links, "web"));
    client = rpcClient(`unix:${links}/web/api.sock`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 500,
    });
  });
  afterAll(async () => {
    client?.close();
    await world.close();
    rmSync(links, { recursive: true, force: true });
  });

  const x509 = () =>
    read((signal) => client.stream(method.fetchX509SVID, {}, { headers: HEADERS, signal }));
  const serialOf = (response: X509SVIDResponse | undefined): string =>
    new X509Certificate(response?.svids[0]?.x509Svid ?? Buffer.alloc(0)).serialNumber;

  it("serves what the files show", async () => {
    const stream = x509();
    const first = await stream.until(1);
    expect(first.svids.map(({ spiffeId }) => spiffeId)).toEqual([WEB]);
    expect(serialOf(first)).toBe(world.shown(pod).leaf.serialNumber);
    stream.stop();
  });

  it("tells a rotation on the open stream", async () => {
    const stream = x509();
    await stream.until(1);
    world.putRule("web", {
      spiffeIDTemplate: ID,
      podSelector: { matchLabels: { app: "web" } },
      dnsNameTemplates: ["web.shop.svc"],
    });
    const second = await stream.until(2);
    expect(serialOf(second)).not.toBe(serialOf(stream.seen[0]));
    await eventually(() => expect(world.shown(pod).leaf.serialNumber).toBe(serialOf(second)));
    stream.stop();
  });

  it("gives JWT-SVIDs that it validates itself", async () => {
    const { svids } = await client.unary(
      method.fetchJWTSVID,
      { audience: ["api"] },
      { headers: HEADERS },
    );
    expect(svids.map(({ spiffeId }) => spiffeId)).toEqual([WEB]);
    const valid = await client.unary(
      method.validateJWTSVID,
      { audience: "api", svid: svids[0]?.svid ?? "" },
      { headers: HEADERS },
    );
    expect(valid.spiffeId).toBe(WEB);
  });

  it("ends with UNAVAILABLE when the agent goes, and serves the same SVID when the next one comes", async () => {
    const stream = x509();
    await stream.until(1);
    await agent.stop();
    await expect(stream.ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
    const before = world.shown(pod).leaf.serialNumber;
    agent = await world.startAgent();
    const again = x509();
    expect(serialOf(await again.until(1))).toBe(before);
    again.stop();
  });

  it("ends with PERMISSION_DENIED when nothing selects the pod any more, and its files stay", async () => {
    const stream = x509();
    await stream.until(1);
    world.api.delete(CLUSTER_SPIFFE_IDS, { name: "web" });
    await expect(stream.ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
    expect(world.shown(pod).isPair).toBe(true);
  });
});
