import { describe, expect, it } from "vitest";
import { RegistrationIndex, includesReads, joinReads } from "../../src/registration/index.ts";
import type { CustomResource } from "../../src/registration/index.ts";
import { OPTIONS, alias, federated, rule, staticEntry } from "./universe.ts";

const index = new RegistrationIndex(OPTIONS);
const readsOf = (
  object: CustomResource,
  kind: Parameters<typeof index.readsOf>[0] = "ClusterSPIFFEID",
) => {
  const { paths, images } = index.readsOf(kind, object);
  return { paths: [...paths].toSorted(), images };
};
const reads = (paths: string[], images = false) => ({ paths: new Set(paths), images });

describe("what an object reads of pods", () => {
  it("is named by its templates: those of the ID, of DNS names and of selectors", () => {
    const object = rule({
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}/{{ .NodeMeta.Name }}",
      dnsNameTemplates: ["{{ .PodSpec.Hostname }}"],
      workloadSelectorTemplates: ["k8s:pod-label:a:{{ .PodMeta.Annotations.x }}"],
    });
    expect(readsOf(object)).toEqual({
      paths: ["PodMeta.Annotations", "PodMeta.Name", "PodSpec.Hostname"],
      images: false,
    });
  });

  it("is the images too, where a selector may ask for them", () => {
    const workloadSelectorTemplates = ["k8s:pod-image:web"];
    expect(readsOf(rule({ workloadSelectorTemplates })).images).toBe(true);
    expect(
      readsOf(staticEntry({ selectors: ["k8s:ns:a", "k8s:pod-image:web"] }), "ClusterStaticEntry"),
    ).toEqual({ paths: [], images: true });
    expect(readsOf(staticEntry(), "ClusterStaticEntry")).toEqual({ paths: [], images: false });
  });

  it("is nothing for what gives pods nothing", () => {
    const nothing = { paths: [], images: false };
    expect(readsOf(rule({ ttl: "x" }))).toEqual(nothing);
    expect(readsOf(rule({ className: "theirs" }))).toEqual(nothing);
    expect(readsOf(alias(), "ClusterStaticEntry")).toEqual(nothing);
    expect(readsOf(federated(), "ClusterFederatedTrustDomain")).toEqual(nothing);
  });
});

describe("what objects read together", () => {
  it("is what any of them reads", () => {
    expect(joinReads(reads(["PodMeta.Name"]), reads(["PodSpec.Hostname"], true))).toEqual(
      reads(["PodMeta.Name", "PodSpec.Hostname"], true),
    );
    const whole = reads(["PodSpec"], true);
    expect(joinReads(whole, reads(["PodSpec.Hostname"]))).toBe(whole);
  });

  it.each([
    [reads(["PodMeta.Name"]), reads(["PodMeta.Name"]), true],
    [reads(["PodMeta.Name"]), reads([]), true],
    [reads([]), reads(["PodMeta.Name"]), false],
    [reads(["PodMeta"]), reads(["PodMeta.Name", "PodMeta.Labels"]), true],
    [reads(["PodMeta"]), reads(["PodSpec.Hostname"]), false],
    [reads(["PodMeta.Name"]), reads(["PodMeta"]), false],
    [reads([]), reads([], true), false],
    [reads([], true), reads([]), true],
  ])("%j includes %j: %s", (a, b, includes) => {
    expect(includesReads(a, b)).toBe(includes);
  });
});
