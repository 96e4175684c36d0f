import { describe, expect, it } from "vitest";
import { parseConfig } from "../../src/core/config.ts";
import type { Config } from "../../src/core/config.ts";
import { NAMESPACE, only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

const configOf = (objects: readonly Manifest[], role: string): Config =>
  parseConfig(only(objects, "ConfigMap", `signet-${role}`).data["config.json"] as string);

const checksum = (objects: readonly Manifest[], kind: string): string =>
  only(objects, kind).spec.template.metadata.annotations["checksum/config"] as string;

/** Every value that ends up in the configuration, each different from its default. */
const CHANGED = {
  trustDomain: "prod.example.org",
  clusterName: "east",
  clusterDomain: "k8s.example",
  logLevel: "warn",
  audience: "identity.example",
  x509SvidTtl: "90s",
  caTtl: "1h30m",
  caKeyType: "ec-p384",
  jwtSvidTtl: "2m",
  jwtAlgorithm: "RS256",
  jwtKeyTtl: "7d",
  jwtIssuer: "https://oidc.example.org/signet",
  jwtClaims: { "example.org/pod": '{{ .PodMeta.Name }} "x"' },
  className: "signet",
  watchClassless: false,
  ignoreNamespaces: ["^a\\.b$", 'say "no"'],
  parentIDTemplate: 'spiffe://{{ .TrustDomain }}/node/{{ index .NodeMeta.Labels "a" }}',
  kubeletDir: "/var/lib/k0s/kubelet",
  "csi.driverName": "csi.example.org",
  "agent.publishTimeout": "30s",
};

describe("config.json", () => {
  it("is what the operator and the agent accept, with the names that the chart gives", async () => {
    const objects = await render();
    const { operator } = configOf(objects, "operator");
    expect(operator).toMatchObject({
      serviceName: only(objects, "Service").metadata.name as string,
      deploymentName: only(objects, "Deployment").metadata.name as string,
      webhookConfigurationName: only(objects, "MutatingWebhookConfiguration").metadata
        .name as string,
      agentServiceAccount: only(objects, "DaemonSet").spec.template.spec
        .serviceAccountName as string,
      bundleConfigMapName: "signet-bundle",
      caSecretName: "signet-ca",
      leaseName: "signet-operator",
    });
    expect(configOf(objects, "agent").agent.operatorAddress).toBe(
      `signet-operator.${NAMESPACE}.svc:8443`,
    );
  });

  it("gives both webhook configurations the one name that the operator is told", async () => {
    const objects = await render({ fullnameOverride: "prod" });
    const { operator } = parseConfig(
      only(objects, "ConfigMap", "prod-operator").data["config.json"] as string,
    );
    for (const kind of ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]) {
      expect(only(objects, kind).metadata.name).toBe(operator.webhookConfigurationName);
    }
  });

  it("has the same defaults as the program", async () => {
    const { trustDomain, ...rest } = configOf(await render(), "operator");
    const { operatorAddress } = rest.agent;
    const program = parseConfig(JSON.stringify({ trustDomain, agent: { operatorAddress } }));
    expect({ trustDomain, ...rest }).toEqual(program);
  });

  it("carries every value", async () => {
    const config = configOf(await render(CHANGED), "operator");
    expect(config).toMatchObject({
      trustDomain: "prod.example.org",
      clusterName: "east",
      clusterDomain: "k8s.example",
      logLevel: "warn",
      audience: "identity.example",
      operator: {
        x509SvidTtl: 90_000,
        caTtl: 5_400_000,
        caKeyType: "ec-p384",
        jwtSvidTtl: 120_000,
        jwtAlgorithm: "RS256",
        jwtKeyTtl: 7 * 86_400_000,
        jwtIssuer: "https://oidc.example.org/signet",
        jwtClaims: { "example.org/pod": '{{ .PodMeta.Name }} "x"' },
        className: "signet",
        watchClassless: false,
        ignoreNamespaces: ["^a\\.b$", 'say "no"'],
        parentIdTemplate: 'spiffe://{{ .TrustDomain }}/node/{{ index .NodeMeta.Labels "a" }}',
      },
      agent: {
        kubeletDir: "/var/lib/k0s/kubelet",
        driverName: "csi.example.org",
        publishTimeout: 30_000,
      },
    });
  });

  it("gives both roles the same view of what they share", async () => {
    const objects = await render(CHANGED);
    const { operator: _operator, ...shared } = configOf(objects, "operator");
    const { operator: _defaults, ...agents } = configOf(objects, "agent");
    expect(agents).toEqual(shared);
  });

  it("restarts the pods of those whom a change concerns, and nobody else", async () => {
    const [before, operatorOnly, both] = await Promise.all([
      render(),
      render({ caTtl: "30d" }),
      render({ logLevel: "debug" }),
    ]);
    expect(checksum(operatorOnly, "Deployment")).not.toBe(checksum(before, "Deployment"));
    expect(checksum(operatorOnly, "DaemonSet")).toBe(checksum(before, "DaemonSet"));
    expect(checksum(both, "Deployment")).not.toBe(checksum(before, "Deployment"));
    expect(checksum(both, "DaemonSet")).not.toBe(checksum(before, "DaemonSet"));
  });

  it("agrees with ports, paths and audience of the manifests", async () => {
    const objects = await render(CHANGED);
    const { operator, agent, audience } = configOf(objects, "operator");
    const service = only(objects, "Service").spec;
    const operatorPod = only(objects, "Deployment").spec.template.spec;
    const agentPod = only(objects, "DaemonSet").spec.template.spec;
    const ports = Object.fromEntries(
      [...operatorPod.containers[0].ports, { ...agentPod.containers[0].ports[0], name: "agent" }]
        // oxlint-disable-next-line typescript/no-explicit-any -- rendered YAML
        .map(({ name, containerPort }: any) => [name, containerPort]),
    ) as unknown;
    expect(ports).toEqual({
      issuer: operator.issuerPort,
      webhook: operator.webhookPort,
      health: operator.healthPort,
      agent: agent.healthPort,
    });
    expect(service.ports).toEqual([
      { name: "webhook", port: 443, targetPort: "webhook", appProtocol: "https" },
      { name: "issuer", port: 8443, targetPort: "issuer" },
    ]);
    const driver = only(objects, "CSIDriver");
    expect(driver.metadata.name).toBe(agent.driverName);
    expect(driver.spec.tokenRequests).toEqual([{ audience, expirationSeconds: 600 }]);
  });
});
