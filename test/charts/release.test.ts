import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { CHART, helm, NAMESPACE, only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

const CLUSTER_SCOPED = new Set([
  "ClusterRole",
  "ClusterRoleBinding",
  "CSIDriver",
  "CustomResourceDefinition",
  "MutatingWebhookConfiguration",
  "ValidatingWebhookConfiguration",
]);

let objects: Manifest[];

beforeAll(async () => {
  objects = await render();
});

const ofKind = (all: readonly Manifest[], kind: string): Manifest[] =>
  all.filter((object) => object["kind"] === kind);

describe("a release", () => {
  it("has no hooks: what helm reports is what there is", () => {
    const hooks = objects.filter((object) => object.metadata.annotations?.["helm.sh/hook"]);
    expect(hooks).toEqual([]);
    expect(objects.some(({ kind }) => kind === "Job")).toBe(false);
  });

  it("installs the CRDs of files/crds unchanged, and keeps them when it goes", () => {
    const files = globSync(join(CHART, "files/crds/*.yaml"));
    const expected = files.map((file) => parse(readFileSync(file, "utf8")) as Manifest);
    expect(expected.length).toBeGreaterThan(0);
    for (const crd of expected) {
      const rendered = only(objects, "CustomResourceDefinition", crd.metadata.name as string);
      expect(rendered.metadata.annotations["helm.sh/resource-policy"]).toBe("keep");
      expect(rendered.spec).toEqual(crd.spec);
    }
    expect(ofKind(objects, "CustomResourceDefinition")).toHaveLength(expected.length);
  });

  it("keeps nothing but the CRDs", () => {
    const kept = objects.filter(
      (object) => object.metadata.annotations?.["helm.sh/resource-policy"],
    );
    expect(new Set(kept.map(({ kind }) => kind as string))).toEqual(
      new Set(["CustomResourceDefinition"]),
    );
  });

  it("can leave the CRDs out", async () => {
    const without = await render({ "crds.install": false });
    expect(ofKind(without, "CustomResourceDefinition")).toEqual([]);
    expect(without).toHaveLength(
      objects.length - ofKind(objects, "CustomResourceDefinition").length,
    );
  });

  it("puts every namespaced object in its own namespace", () => {
    const elsewhere = objects.filter(
      ({ kind, metadata }) =>
        metadata.namespace !== (CLUSTER_SCOPED.has(kind as string) ? undefined : NAMESPACE),
    );
    expect(elsewhere).toEqual([]);
  });

  it("marks every object as its own", () => {
    const strangers = objects.filter(
      ({ kind, metadata }) =>
        kind !== "CustomResourceDefinition" &&
        metadata.labels?.["app.kubernetes.io/instance"] !== "signet",
    );
    expect(strangers).toEqual([]);
  });

  it("does not restart pods because the chart has another version", () => {
    for (const kind of ["Deployment", "DaemonSet"]) {
      const { metadata } = only(objects, kind).spec.template;
      expect(Object.keys(metadata.labels as object).toSorted()).toEqual([
        "app.kubernetes.io/component",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/name",
      ]);
    }
  });

  it("names everything after the release where that is not called signet", async () => {
    const { output } = await helm("template", "prod", CHART, "--set", "crds.install=false");
    expect(output).toContain("name: prod-signet-operator");
    expect(output).toContain("secrets]\n    resourceNames: [prod-signet-ca]");
    expect(output).not.toMatch(/name: signet-/);
  });

  it("takes image, pull secrets and scheduling from the values", async () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const changed = await render({
      image: { repository: "registry.example/signet", tag: "x", digest, pullPolicy: "Always" },
      imagePullSecrets: [{ name: "pull" }],
      agent: { nodeSelector: { pool: "a" }, podLabels: { team: "id" }, priorityClassName: "" },
      operator: { tolerations: [{ key: "t" }], podAnnotations: { "a.b/c": "d" }, replicas: 3 },
    });
    const agent = only(changed, "DaemonSet").spec.template;
    const operator = only(changed, "Deployment").spec;
    expect(agent.spec.containers[0].image).toBe(`registry.example/signet@${digest}`);
    expect(agent.spec.imagePullSecrets).toEqual([{ name: "pull" }]);
    expect(agent.spec.nodeSelector).toEqual({ "kubernetes.io/os": "linux", pool: "a" });
    expect(agent.metadata.labels.team).toBe("id");
    expect(agent.spec).not.toHaveProperty("priorityClassName");
    expect(operator.template.spec.tolerations).toEqual([{ key: "t" }]);
    expect(operator.template.metadata.annotations["a.b/c"]).toBe("d");
    expect(operator.replicas).toBe(3);
  });

  it("runs the chart's own version of the image", () => {
    const { appVersion } = parse(readFileSync(join(CHART, "Chart.yaml"), "utf8")) as Manifest;
    const { version } = JSON.parse(
      readFileSync(join(CHART, "../../package.json"), "utf8"),
    ) as Manifest;
    expect(appVersion).toBe(version);
    for (const kind of ["Deployment", "DaemonSet"]) {
      expect(only(objects, kind).spec.template.spec.containers[0].image).toBe(
        `signet:${appVersion}`,
      );
    }
  });

  it("refuses a Kubernetes that is too old", async () => {
    const { code, output } = await helm("template", CHART, "--kube-version", "1.29.9");
    expect(output).toContain("incompatible");
    expect(code).not.toBe(0);
  });
});
