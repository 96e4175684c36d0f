import { readFileSync, statSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_SPIFFE_IDS } from "../../src/api/resources.ts";
import type { ClusterSpiffeId } from "../../src/api/cluster-spiffe-id.ts";
import type { ServiceGroup } from "../../src/core/lifecycle.ts";
import {
  CONFIG_MAPS,
  EVENTS,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  SECRETS,
} from "../../src/kube/resources.ts";
import type { ConfigMap, KubeObject } from "../../src/kube/types.ts";
import { openssl } from "../ca/oracle.ts";
import { eventually } from "../controllers/cluster.ts";
import { IS_ROOT } from "../csi/fixtures.ts";
import type { FakePod } from "../fakes/kubelet.ts";
import { reviewOf } from "../webhook/reviews.ts";
import { openWorld, RELEASE } from "./world.ts";
import type { World } from "./world.ts";

const ID =
  "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";
const select = (app: string) => ({ podSelector: { matchLabels: { app } } });

const TTL_MS = 6000;

/** Mounting needs root. */
describe.skipIf(!IS_ROOT)("operator and agent", () => {
  let world: World;
  let operator: ServiceGroup;
  let agent: ServiceGroup;

  beforeAll(async () => {
    world = await openWorld({ ttlMs: TTL_MS });
    operator = await world.startOperator();
    agent = await world.startAgent();
  });
  afterAll(() => world.close());

  /** A pod with a rule of its own that has its first identity. */
  async function startPod(name: string, template = ID): Promise<FakePod> {
    world.putRule(name, { spiffeIDTemplate: template, ...select(name) });
    const pod = world.createPod(name);
    await world.mount(pod);
    return pod;
  }
  const serialOf = (pod: FakePod): string => world.shown(pod).leaf.serialNumber;
  const renewed = (pod: FakePod, since: string) =>
    eventually(() => expect(serialOf(pod)).not.toBe(since));

  it("give a pod files with its SPIFFE ID before it starts", async () => {
    const pod = await startPod("web");
    const target = world.kubelet.target(pod);
    expect(await world.sandbox.mountPoints()).toContain(target);
    const { leaf, isPair } = world.shown(pod);
    expect(leaf.subjectAltName).toBe("URI:spiffe://example.org/ns/shop/sa/web");
    expect(isPair).toBe(true);
    const file = (name: string): string => join(target, name);
    expect(openssl(["verify", "-CAfile", file("ca.crt"), file("tls.crt")])).toContain(": OK");
    const published = world.api.objects<ConfigMap>(CONFIG_MAPS)[0]?.data;
    expect(readFileSync(file("ca.crt"), "utf8")).toBe(published?.["bundle.pem"]);
  });

  it("write the outcome into the ClusterSPIFFEID's status", async () => {
    await startPod("counted");
    await eventually(() => {
      const rules = world.api.objects<ClusterSpiffeId & KubeObject>(CLUSTER_SPIFFE_IDS);
      const rule = rules.find(({ metadata }) => metadata.name === "counted");
      expect(rule?.status).toMatchObject({
        stats: { podsSelected: 1, entriesToSet: 1 },
        conditions: [{ type: "Ready", status: "True" }],
      });
    });
  });

  it("let a pod wait that nothing selects, tell it why, and start it once something does", async () => {
    const pod = world.createPod("waiting");
    let started = false;
    const mounting = world.mount(pod).finally(() => (started = true));
    await eventually(() =>
      expect(world.api.objects<KubeObject>(EVENTS)).toContainEqual(
        expect.objectContaining({
          reason: "NoIdentity",
          type: "Warning",
          involvedObject: expect.objectContaining({ name: "waiting", uid: pod.uid }),
        }),
      ),
    );
    expect(started).toBe(false);
    world.putRule("waiting", { spiffeIDTemplate: ID, ...select("waiting") });
    await mounting;
    expect(world.shown(pod).isPair).toBe(true);
  });

  it("replace the files when the template changes", async () => {
    const pod = await startPod("changing", "spiffe://example.org/before");
    const before = world.shown(pod).leaf;
    expect(before.subjectAltName).toBe("URI:spiffe://example.org/before");
    world.putRule("changing", {
      spiffeIDTemplate: "spiffe://example.org/after",
      ...select("changing"),
    });
    await eventually(() =>
      expect(world.shown(pod).leaf.subjectAltName).toBe("URI:spiffe://example.org/after"),
    );
    const { leaf, isPair } = world.shown(pod);
    expect(isPair).toBe(true);
    expect(leaf.publicKey.equals(before.publicKey)).toBe(false);
  });

  it("renew no more once the ClusterSPIFFEID is gone, and leave the files", async () => {
    const [pod, other] = [await startPod("orphan"), await startPod("other")];
    world.api.delete(CLUSTER_SPIFFE_IDS, { name: "orphan" });
    await eventually(() =>
      expect(
        world.log.lines.filter(
          ({ text }) => text.includes("no identity") && text.includes(pod.uid),
        ),
      ).toHaveLength(1),
    );
    const last = world.shown(pod).leaf;
    // The other pod is renewed meanwhile, again and again, until the first one's SVID is over.
    await eventually(() => {
      const issuedAt = Date.parse(world.shown(other).leaf.validTo) - TTL_MS;
      expect(issuedAt).toBeGreaterThan(Date.parse(last.validTo));
    });
    expect(world.shown(pod).leaf.serialNumber).toBe(last.serialNumber);
  });

  it("go on with the same CA after the operator was restarted", async () => {
    const pod = await startPod("patient");
    await operator.stop();
    const { leaf, authorities } = world.shown(pod);
    const secret = world.api.objects(SECRETS)[0];
    operator = await world.startOperator();
    await renewed(pod, leaf.serialNumber);
    const after = world.shown(pod);
    expect(after.isPair).toBe(true);
    expect(after.authorities.map(({ raw }) => raw)).toEqual(authorities.map(({ raw }) => raw));
    expect(world.api.objects(SECRETS)[0]).toEqual(secret);
  });

  it("go on with a volume that an earlier agent mounted", async () => {
    const pod = await startPod("adopted");
    await agent.stop();
    const target = world.kubelet.target(pod);
    const [left, device] = [serialOf(pod), statSync(target).dev];
    expect(await world.sandbox.mountPoints()).toContain(target);
    agent = await world.startAgent();
    await renewed(pod, left);
    expect(world.shown(pod).isPair).toBe(true);
    expect(statSync(target).dev).toBe(device);
  });

  it("leave nothing of a pod that is over", async () => {
    const pod = await startPod("short");
    world.api.delete(CLUSTER_SPIFFE_IDS, { name: "short" });
    await world.kubelet.unmount(pod);
    expect(await world.sandbox.mountPoints()).not.toContain(world.kubelet.target(pod));
  });

  it("inject the volume through a webhook that the API server can verify", async () => {
    const caBundle = await eventually(() => {
      const [configuration] = world.api.objects<
        KubeObject & { webhooks: { clientConfig: { caBundle: string } }[] }
      >(MUTATING_WEBHOOK_CONFIGURATIONS);
      const found = configuration?.webhooks[0]?.clientConfig.caBundle ?? "";
      expect(found).not.toBe("");
      return found;
    });
    const pod = {
      metadata: { name: "web" },
      spec: { containers: [{ name: "app", image: "app" }] },
    };
    const review = reviewOf(pod, { uid: "review-1" });
    const { response } = await callWebhook(world, caBundle, review);
    expect(response).toMatchObject({ uid: "review-1", allowed: true });
    const patch = Buffer.from(response.patch ?? "", "base64").toString();
    expect(patch).toContain(world.config.agent.driverName);
  });

  it("have had nothing to complain about", () => {
    expect(world.failures).toEqual([]);
    expect(world.log.lines.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe.skipIf(!IS_ROOT)("a CA with a short life", () => {
  it("is followed by the next, which every volume trusts long before it signs", async () => {
    const world = await openWorld({ caTtlMs: 12_000, ttlMs: 3000 });
    try {
      await world.startOperator();
      await world.startAgent();
      world.putRule("web", { spiffeIDTemplate: ID, ...select("web") });
      const pod = world.createPod("web");
      await world.mount(pod);
      const first = world.shown(pod).authorities[0];
      /** Serial numbers that the first authority signed while the volume trusted the next one, too. */
      const overlap = new Set<string>();
      await eventually(() => {
        const { leaf, authorities, isPair } = world.shown(pod);
        const signer = authorities.find((authority) => leaf.verify(authority.publicKey));
        expect.soft(signer, "no authority of the volume signed its SVID").toBeDefined();
        expect.soft(isPair).toBe(true);
        const isFirst = signer?.fingerprint256 === first?.fingerprint256;
        if (isFirst && authorities.length === 2) overlap.add(leaf.serialNumber);
        expect(isFirst).toBe(false);
      });
      expect(overlap.size).toBeGreaterThan(1);
      expect(world.failures).toEqual([]);
    } finally {
      await world.close();
    }
  });
});

interface Review {
  readonly response: { readonly uid: string; readonly allowed: boolean; readonly patch?: string };
}

/** Calls the webhook as the API server does: by the service's name, trusting only the caBundle. */
function callWebhook(world: World, caBundle: string, review: unknown): Promise<Review> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: "127.0.0.1",
        port: world.config.operator.webhookPort,
        servername: `signet-operator.${RELEASE}.svc`,
        ca: Buffer.from(caBundle, "base64").toString(),
        path: "/mutate",
        method: "POST",
        agent: false,
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(JSON.parse(text)));
      },
    );
    call.on("error", reject).end(JSON.stringify(review));
  });
}
