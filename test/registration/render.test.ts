import { describe, expect, it } from "vitest";
import { start } from "./harness.ts";
import { fixed, namespace, node, pod, rule } from "./universe.ts";

/** A pod of a Deployment in a namespace of team a, and the ID that a template gives it. */
function rendered(path: string, options: Parameters<typeof start>[0] = {}) {
  const { index, ids, status } = start(options);
  index.applyNamespace(namespace("shop", { team: "a" }));
  index.applyNode({
    ...node("node-1", undefined, { zone: "b" }),
    spec: { podCIDR: "10.0.0.0-24" },
  });
  index.applyPod(
    pod({
      name: "web-6c9-x",
      labels: { "pod-template-hash": "6c9" },
      annotations: { "example.org/note": "n" },
      owners: [{ kind: "ReplicaSet", name: "web-6c9", uid: "rs", controller: true }],
      spec: { hostname: "h" },
    }),
  );
  index.applyResource(
    "ClusterSPIFFEID",
    rule({ spiffeIDTemplate: `spiffe://example.org/${path}` }),
  );
  const failure = status("all")?.failures[0]?.message;
  return failure ?? ids("uid-web-6c9-x")[0]?.replace(fixed(""), "");
}

describe("templates see", () => {
  it.each([
    [
      "{{ .TrustDomain }}/{{ .ClusterName }}/{{ .ClusterDomain }}",
      "example.org/demo/cluster.local",
    ],
    [
      "{{ .PodMeta.Name }}/{{ .PodMeta.Namespace }}/{{ .PodMeta.UID }}",
      "web-6c9-x/shop/uid-web-6c9-x",
    ],
    ['{{ index .PodMeta.Annotations "example.org/note" }}', "n"],
    [
      "{{ .PodSpec.ServiceAccountName }}/{{ .PodSpec.NodeName }}/{{ .PodSpec.Hostname }}",
      "till/node-1/h",
    ],
    [
      "{{ .NodeMeta.Name }}/{{ .NodeMeta.Labels.zone }}/{{ .NodeSpec.PodCIDR }}",
      "node-1/b/10.0.0.0-24",
    ],
    ["{{ .NamespaceMeta.Name }}/{{ .NamespaceMeta.Labels.team }}", "shop/a"],
    ["{{ .Owner.Kind }}/{{ .Owner.Name }}/{{ .ServiceAccount }}", "Deployment/web/till"],
  ])("%s", (path, expected) => {
    expect(rendered(path)).toBe(expected);
  });

  it("no cluster domain where it is unknown", () => {
    expect(rendered("x{{ .ClusterDomain }}", { clusterDomain: "" })).toBe("x");
  });

  it("nothing else: a failure names the field and the place", () => {
    expect(rendered("{{ .Namespace }}")).toMatch(
      /^spec\.spiffeIDTemplate: .*1:\d+.*can't evaluate field Namespace/,
    );
  });
});
