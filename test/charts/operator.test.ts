import { beforeAll, describe, expect, it } from "vitest";
import { NAMESPACE, only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

let objects: Manifest[];
let deployment: Manifest;
let pod: Manifest;
let clusterRules: Rule[];
let rules: Rule[];

beforeAll(async () => {
  objects = await render();
  deployment = only(objects, "Deployment");
  pod = deployment.spec.template.spec;
  clusterRules = only(objects, "ClusterRole").rules as Rule[];
  rules = only(objects, "Role").rules as Rule[];
});

const touching = (all: readonly Rule[], resource: string): Rule[] =>
  all.filter((rule) => rule.resources?.includes(resource));

describe("the operator", () => {
  it("meets the restricted Pod Security Standard, with a read-only root besides", () => {
    expect(pod.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(pod.containers).toHaveLength(1);
    expect(pod.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(pod).not.toHaveProperty("initContainers");
    expect(pod.hostNetwork ?? pod.hostPID ?? pod.hostIPC ?? false).toBe(false);
    const kinds = pod.volumes.map((volume: object) => Object.keys(volume).toSorted());
    expect(kinds).toEqual([["configMap", "name"]]);
  });

  it("is told its role, its configuration and who it is", () => {
    const container = pod.containers[0];
    expect(container.args).toEqual(["operator", "--config", "/etc/signet/config.json"]);
    expect(container.volumeMounts).toEqual([
      { name: "config", mountPath: "/etc/signet", readOnly: true },
    ]);
    const fields = container.env.map((variable: Manifest) => [
      variable["name"],
      variable.valueFrom.fieldRef.fieldPath,
    ]);
    expect(Object.fromEntries(fields)).toEqual({
      POD_NAME: "metadata.name",
      POD_NAMESPACE: "metadata.namespace",
      POD_UID: "metadata.uid",
      NODE_NAME: "spec.nodeName",
    });
  });

  it("never has fewer replicas during an upgrade, and loses one at a time to drains", () => {
    expect(deployment.spec.replicas).toBe(2);
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 });
    const budget = only(objects, "PodDisruptionBudget").spec;
    expect(budget.maxUnavailable).toBe(1);
    expect(budget.selector).toEqual(deployment.spec.selector);
    expect(only(objects, "Service").spec.selector).toEqual(deployment.spec.selector.matchLabels);
    expect(deployment.spec.template.metadata.labels).toMatchObject(
      deployment.spec.selector.matchLabels,
    );
  });

  it("prefers different nodes and zones without insisting", () => {
    const spread = pod.topologySpreadConstraints.map((constraint: Manifest) => [
      constraint.topologyKey,
      constraint.whenUnsatisfiable,
    ]);
    expect(spread).toEqual([
      ["kubernetes.io/hostname", "ScheduleAnyway"],
      ["topology.kubernetes.io/zone", "ScheduleAnyway"],
    ]);
  });

  it("has a memory limit, and no CPU limit that would throttle signing", () => {
    expect(Object.keys(pod.containers[0].resources.limits)).toEqual(["memory"]);
  });

  it("serves only when ready, and goes on a little after it was told to stop", () => {
    expect(only(objects, "Service").spec.publishNotReadyAddresses).toBe(false);
    const container = pod.containers[0];
    expect(container.readinessProbe.httpGet).toEqual({ path: "/readyz", port: "health" });
    expect(container.livenessProbe.httpGet).toEqual({ path: "/healthz", port: "health" });
    const grace = pod.terminationGracePeriodSeconds as number;
    expect(container.lifecycle.preStop.sleep.seconds).toBeLessThan(grace);
  });
});

describe("the operator's rights", () => {
  it("contain no wildcard, no delete, and no right to hand out rights", () => {
    const all = [...clusterRules, ...rules];
    const words = all.flatMap((rule) => [
      ...rule.verbs,
      ...(rule.resources ?? []),
      ...(rule.apiGroups ?? []),
    ]);
    for (const word of ["*", "delete", "deletecollection", "escalate", "bind", "impersonate"]) {
      expect(words).not.toContain(word);
    }
    expect(words).not.toContain("rbac.authorization.k8s.io");
  });

  it("reach Secrets, ConfigMaps and Leases in its own namespace only, and read only its own", () => {
    for (const resource of ["secrets", "configmaps", "leases"]) {
      expect(touching(clusterRules, resource)).toEqual([]);
      const unnamed = touching(rules, resource).filter((rule) => !rule.resourceNames);
      expect(unnamed.flatMap((rule) => rule.verbs)).toEqual(unnamed.map(() => "create"));
    }
    const names = rules.flatMap((rule) => rule.resourceNames ?? []);
    expect(names.toSorted()).toEqual([
      "signet-bundle",
      "signet-ca",
      "signet-operator",
      "signet-operator",
    ]);
    expect(only(objects, "Role").metadata.namespace).toBe(NAMESPACE);
  });

  it("change nothing of users in the cluster but statuses, events and its own webhooks", () => {
    const writing = clusterRules.filter((rule) =>
      rule.verbs.some((verb) => !["get", "list", "watch"].includes(verb)),
    );
    const patching = (resource: string) => ({
      apiGroups: ["admissionregistration.k8s.io"],
      resources: [resource],
      resourceNames: ["signet"],
      verbs: ["patch"],
    });
    expect(writing).toEqual([
      {
        apiGroups: ["spire.spiffe.io"],
        resources: [
          "clusterspiffeids/status",
          "clusterstaticentries/status",
          "clusterfederatedtrustdomains/status",
        ],
        verbs: ["patch"],
      },
      { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
      patching("mutatingwebhookconfigurations"),
      patching("validatingwebhookconfigurations"),
    ]);
  });

  it("read in the cluster what entries are computed from, and nothing else", () => {
    const reading = clusterRules
      .filter((rule) => rule.verbs.includes("list"))
      .map(({ apiGroups, resources, verbs }) => [apiGroups, resources, verbs]);
    expect(reading).toEqual([
      [[""], ["pods"], ["get", "list", "watch"]],
      [[""], ["nodes", "namespaces"], ["list", "watch"]],
      [["discovery.k8s.io"], ["endpointslices"], ["list", "watch"]],
      [
        ["spire.spiffe.io"],
        ["clusterspiffeids", "clusterstaticentries", "clusterfederatedtrustdomains"],
        ["list", "watch"],
      ],
    ]);
  });

  it.each([
    ["injection", "mutatingwebhookconfigurations"],
    ["validation", "validatingwebhookconfigurations"],
  ])("only look whether there is a webhook where %s is off", async (part, resource) => {
    const values = await render({ [`${part}.enabled`]: false });
    const off = touching(only(values, "ClusterRole").rules as Rule[], resource);
    expect(off.map(({ verbs, resourceNames }) => [verbs, resourceNames])).toEqual([
      [["get"], ["signet"]],
    ]);
    const on = touching(clusterRules, resource).flatMap(({ verbs }) => verbs);
    expect(on).toEqual(["get", "patch"]);
  });

  it("belong to the operator's service account alone", () => {
    const bindings = objects.filter(({ kind }) => (kind as string).endsWith("Binding"));
    expect(bindings.map(({ kind }) => kind as string).toSorted()).toEqual([
      "ClusterRoleBinding",
      "RoleBinding",
    ]);
    for (const binding of bindings) {
      expect(binding.subjects).toEqual([
        { kind: "ServiceAccount", name: "signet-operator", namespace: NAMESPACE },
      ]);
    }
    expect(pod.serviceAccountName).toBe("signet-operator");
    expect(pod.automountServiceAccountToken).toBe(true);
  });
});
