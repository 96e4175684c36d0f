import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { podInjector } from "../../src/webhook/admit.ts";
import { injectVolume } from "../../src/webhook/mutate.ts";
import { parseReview } from "../../src/webhook/review.ts";
import { applyAdditions } from "./apply-patch.ts";
import { anyPod, DRIVER, pod } from "./pods.ts";
import { reviewOf } from "./reviews.ts";

const admit = podInjector({ driverName: DRIVER });
const ask = (object: unknown, changes: Record<string, unknown> = {}) =>
  admit(parseReview(JSON.stringify(reviewOf(object, changes))));

describe("podInjector", () => {
  it("emits a patch of additions that gives exactly the injected pod", () => {
    fc.assert(
      fc.property(anyPod, (given) => {
        const wire = JSON.parse(JSON.stringify(given)) as typeof given;
        const expected = injectVolume(wire, { driverName: DRIVER });
        expect(applyAdditions(wire, ask(wire).patch)).toEqual(expected);
      }),
    );
  });

  it("asks for nothing on the second pass", () => {
    fc.assert(
      fc.property(anyPod, (given) => {
        const patched = applyAdditions(given, ask(given).patch);
        expect(ask(patched)).toMatchObject({ patch: [], outcome: "already complete" });
      }),
    );
  });

  it("warns of annotations for a volume that the pod declares itself", () => {
    const annotations = { "signet.dev/files": "jks", "signet.dev/optional": "true" };
    const volumeAttributes = { "signet.dev/optional": "true" };
    const mine = { name: "mine", csi: { driver: DRIVER, readOnly: true, volumeAttributes } };
    const given = pod({ annotations, spec: { volumes: [mine] } });
    expect(ask(given).warnings).toEqual([
      'annotation signet.dev/files has no effect: the pod declares volume "mine" itself, so write it into that volume\'s csi.volumeAttributes',
    ]);
    expect(ask(applyAdditions(pod({ annotations }), ask(pod({ annotations })).patch))).toEqual({
      patch: [],
      outcome: "already complete",
    });
  });

  it("equips a container that came after the first pass", () => {
    const first = applyAdditions(pod({}), ask(pod({})).patch) as ReturnType<typeof pod>;
    const late = {
      ...first,
      spec: { ...first.spec, containers: [...(first.spec.containers ?? []), { name: "late" }] },
    };
    const { patch } = ask(late);
    expect(patch.map(({ path }) => path).toSorted()).toEqual([
      "/spec/containers/1/env",
      "/spec/containers/1/volumeMounts",
    ]);
  });

  it("keeps the patch of a large pod small", () => {
    const env = Array.from({ length: 50 }, (_, index) => ({ name: `E${index}`, value: "x" }));
    const containers = Array.from({ length: 4 }, (_, index) => ({ name: `c${index}`, env }));
    const { patch } = ask(pod({ spec: { containers } }));
    expect(patch).toHaveLength(4 * 3 + 1);
  });

  it("leaves a pod alone whose label says no", () => {
    const { patch, outcome } = ask(pod({ labels: { "signet.dev/inject": "false" } }));
    expect(patch).toEqual([]);
    expect(outcome).toBe("label signet.dev/inject is false");
  });

  it("leaves the API server's copies of static pods alone", () => {
    const { patch } = ask(pod({ annotations: { "kubernetes.io/config.mirror": "abc" } }));
    expect(patch).toEqual([]);
  });

  it.each([{ operation: "UPDATE" }, { subResource: "ephemeralcontainers" }])(
    "leaves alone what is not a new pod: %o",
    (changes) => {
      expect(ask(pod({}), changes)).toEqual({ patch: [], outcome: "not a new pod" });
    },
  );

  it("refuses to inject into another kind", () => {
    const kind = { group: "apps", version: "v1", kind: "Deployment" };
    expect(() => ask(pod({}), { kind })).toThrow("cannot inject into a Deployment");
  });

  it.each([
    [null, "(root)"],
    [{ metadata: {} }, "spec"],
    [{ spec: { containers: {} } }, "spec.containers"],
    [{ spec: { containers: [{ name: 1 }] } }, "spec.containers.0.name"],
    [{ spec: { containers: [], volumes: [{}] } }, "spec.volumes.0.name"],
    [{ metadata: { annotations: { a: 1 } }, spec: { containers: [] } }, "metadata.annotations.a"],
  ])("refuses %j, which is not a pod, and names the field", (object, field) => {
    expect(() => ask(object)).toThrow(`not a pod: ${field}: `);
  });
});
