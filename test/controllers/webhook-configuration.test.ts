import { applyPatch } from "fast-json-patch";
import type { Operation } from "fast-json-patch";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { caBundlePatch, keepCaBundle } from "../../src/controllers/webhook-configuration.ts";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import {
  MUTATING_WEBHOOK_CONFIGURATIONS as MUTATING,
  VALIDATING_WEBHOOK_CONFIGURATIONS as VALIDATING,
} from "../../src/kube/resources.ts";
import type { KubeObject, ObjectMeta } from "../../src/kube/types.ts";
import { bundlePem } from "../../src/spiffe/bundle.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { recordingLog } from "../csi/fixtures.ts";
import { twoBundles } from "./authorities.ts";
import { eventually, openCluster } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

interface Webhook {
  name: string;
  clientConfig: { caBundle?: string; url: string };
}
type Configuration = KubeObject & { webhooks?: Webhook[] };

const webhook = (name: string, caBundle?: string): Webhook => ({
  name,
  clientConfig: { url: `https://${name}`, ...(caBundle === undefined ? {} : { caBundle }) },
});
const configuration = (...webhooks: Webhook[]): Configuration => ({
  metadata: { name: "signet" } as ObjectMeta,
  webhooks,
});
const encoded = (bundle: Bundle): string => Buffer.from(bundlePem(bundle)).toString("base64");

let bundles: Awaited<ReturnType<typeof twoBundles>>;
beforeEach(async () => {
  bundles = await twoBundles();
});

describe("caBundlePatch", () => {
  it("sets the bundle on every webhook that lacks it, and nothing else", () => {
    const before = configuration(
      webhook("pods.signet.dev"),
      webhook("old.signet.dev", "b2xk"),
      webhook("done.signet.dev", encoded(bundles.both)),
    );
    const patch = caBundlePatch(before, bundles.both);
    const after = applyPatch(structuredClone(before), patch as Operation[], true).newDocument;
    expect(after).toEqual(
      configuration(
        ...["pods.signet.dev", "old.signet.dev", "done.signet.dev"].map((name) =>
          webhook(name, encoded(bundles.both)),
        ),
      ),
    );
  });

  it("is empty when there is nothing to do", () => {
    const done = configuration(webhook("pods.signet.dev", encoded(bundles.first)));
    expect(caBundlePatch(done, bundles.first)).toEqual([]);
    expect(caBundlePatch({ metadata: done.metadata }, bundles.first)).toEqual([]);
  });

  it("does not apply to webhooks in another order", () => {
    const patch = caBundlePatch(configuration(webhook("a"), webhook("b")), bundles.first);
    const swapped = configuration(webhook("b"), webhook("a"));
    expect(() => applyPatch(swapped, patch as Operation[], true)).toThrow(/TEST_OPERATION_FAILED/);
  });
});

describe("keepCaBundle", () => {
  let cluster: TestCluster;
  let clock: ManualClock;
  let log: ReturnType<typeof recordingLog>;
  beforeEach(async () => {
    cluster = await openCluster();
    clock = manualClock();
    log = recordingLog();
  });
  afterEach(() => cluster.close());

  const asleep = () => eventually(() => expect(clock.sleeping).toBe(1));
  const put = (resource: typeof MUTATING, ...webhooks: Webhook[]): void => {
    const object: Partial<Configuration> = { webhooks };
    cluster.server.put(resource, { ...object, metadata: { name: "signet" } });
  };
  const caBundles = (resource: typeof MUTATING): (string | undefined)[] | undefined =>
    cluster.server
      .objects<Configuration>(resource)[0]
      ?.webhooks?.map(({ clientConfig }) => clientConfig.caBundle);
  async function keep(): Promise<void> {
    const { client, run } = cluster;
    run((signal) =>
      keepCaBundle({ client, name: "signet", bundle: bundles.live, clock, log }, signal),
    );
    await asleep();
  }

  describe.each([MUTATING, VALIDATING])("of a $kind", (resource) => {
    it("sets the bundle at once, and again as soon as it changes", async () => {
      put(resource, webhook("a"), webhook("b", "b2xk"));
      await keep();
      expect(caBundles(resource)).toEqual([encoded(bundles.first), encoded(bundles.first)]);
      bundles.live.set(bundles.both);
      await eventually(() =>
        expect(caBundles(resource)).toEqual([encoded(bundles.both), encoded(bundles.both)]),
      );
    });

    it("sets it again within ten seconds after someone reset it", async () => {
      put(resource, webhook("a"));
      await keep();
      put(resource, webhook("a"));
      expect(caBundles(resource)).toEqual([undefined]);
      await clock.advance(10_000);
      await eventually(() => expect(caBundles(resource)).toEqual([encoded(bundles.first)]));
    });

    it("is content without one, and sets the bundle when it comes", async () => {
      await keep();
      expect(log.lines).toEqual([]);
      put(resource, webhook("a"));
      await clock.advance(10_000);
      await eventually(() => expect(caBundles(resource)).toEqual([encoded(bundles.first)]));
    });

    it("starts over when the webhooks changed between its look and its write", async () => {
      put(resource, webhook("a", encoded(bundles.first)), webhook("b"));
      let swapped = false;
      cluster.server.intercept = ({ method }) => {
        if (method === "PATCH" && !swapped) {
          put(resource, webhook("b"), webhook("a", encoded(bundles.first)));
          swapped = true;
        }
        return undefined;
      };
      await keep();
      expect(caBundles(resource)).toEqual([undefined, encoded(bundles.first)]);
      await clock.advance(1000);
      await eventually(() =>
        expect(caBundles(resource)).toEqual([encoded(bundles.first), encoded(bundles.first)]),
      );
    });
  });

  it("writes nothing while the bundle is there", async () => {
    put(MUTATING, webhook("a", encoded(bundles.first)));
    put(VALIDATING, webhook("b", encoded(bundles.first)));
    await keep();
    await clock.advance(10_000);
    await asleep();
    expect(cluster.server.requests.map(({ method }) => method)).toEqual(
      Array.from({ length: 4 }, () => "GET"),
    );
  });

  it("sets the one although the other cannot be read, and tries that again", async () => {
    put(MUTATING, webhook("a"));
    put(VALIDATING, webhook("b"));
    let broken = true;
    cluster.server.intercept = ({ path }) =>
      broken && path.includes(MUTATING.plural)
        ? { status: 403, body: { kind: "Status", code: 403, message: "not allowed" } }
        : undefined;
    await keep();
    expect(caBundles(VALIDATING)).toEqual([encoded(bundles.first)]);
    expect(caBundles(MUTATING)).toEqual([undefined]);
    expect(log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    broken = false;
    await clock.advance(1000);
    await eventually(() => expect(caBundles(MUTATING)).toEqual([encoded(bundles.first)]));
  });
});
