import { beforeAll, describe, expect, it } from "vitest";
import { NAMESPACE, only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

type Labels = Readonly<Record<string, string>>;

let objects: Manifest[];
let webhooks: Manifest[];

beforeAll(async () => {
  objects = await render();
  webhooks = only(objects, "MutatingWebhookConfiguration")["webhooks"] as Manifest[];
});

/** Label selectors as the API server reads them (LabelSelector of meta/v1, the operators used here). */
function matches(selector: Manifest | undefined, labels: Labels): boolean {
  const pairs = Object.entries((selector?.["matchLabels"] ?? {}) as Labels);
  const expressions = (selector?.["matchExpressions"] ?? []) as Manifest[];
  return (
    pairs.every(([key, value]) => labels[key] === value) &&
    expressions.every(({ key, operator, values }) => {
      if (operator !== "NotIn") throw new Error(`operator ${operator}`);
      return !(values as string[]).includes(labels[key as string] ?? "");
    })
  );
}

const label = (value?: string): Labels => (value ? { "signet.dev/inject": value } : {});

const asked = (namespace: string, namespaceLabel?: string, podLabel?: string): number => {
  const ofNamespace = { "kubernetes.io/metadata.name": namespace, ...label(namespaceLabel) };
  return webhooks.filter(
    (webhook) =>
      matches(webhook["namespaceSelector"], ofNamespace) &&
      matches(webhook["objectSelector"], { app: "web", ...label(podLabel) }),
  ).length;
};

describe("the webhook configuration", () => {
  it.each([
    [undefined, undefined, 0],
    ["true", undefined, 1],
    ["true", "true", 1],
    ["true", "false", 0],
    ["true", "maybe", 1],
    ["false", undefined, 0],
    ["false", "true", 1],
    [undefined, "true", 1],
    [undefined, "false", 0],
    [undefined, "maybe", 0],
  ])("for namespace label %s and pod label %s asks %i times", (namespaceLabel, podLabel, times) => {
    expect(asked("shop", namespaceLabel, podLabel)).toBe(times);
  });

  it("never asks about kube-system or the release's own namespace", () => {
    for (const namespace of ["kube-system", NAMESPACE]) {
      expect(asked(namespace, "true", "true")).toBe(0);
      expect(asked(namespace, "true", undefined)).toBe(0);
    }
  });

  it("excludes the namespaces of the values, and the release's own all the same", async () => {
    const changed = await render({ "injection.excludedNamespaces": ["vault"] });
    webhooks = only(changed, "MutatingWebhookConfiguration")["webhooks"] as Manifest[];
    expect(asked("vault", "true", "true")).toBe(0);
    expect(asked(NAMESPACE, "true", "true")).toBe(0);
    expect(asked("kube-system", "true")).toBe(1);
    webhooks = only(objects, "MutatingWebhookConfiguration")["webhooks"] as Manifest[];
  });

  it("asks about new pods only, lets none through unasked, and has no side effects", () => {
    for (const webhook of webhooks) {
      expect(webhook).toMatchObject({
        admissionReviewVersions: ["v1"],
        failurePolicy: "Fail",
        matchPolicy: "Equivalent",
        reinvocationPolicy: "IfNeeded",
        sideEffects: "None",
        timeoutSeconds: 5,
        rules: [
          {
            apiGroups: [""],
            apiVersions: ["v1"],
            operations: ["CREATE"],
            resources: ["pods"],
            scope: "Namespaced",
          },
        ],
      });
    }
  });

  it("calls the operator's Service and leaves caBundle to the operator", () => {
    for (const webhook of webhooks) {
      expect(webhook["clientConfig"]).toEqual({
        service: { name: "signet-operator", namespace: NAMESPACE, path: "/mutate", port: 443 },
      });
    }
  });

  it("has webhooks whose names stay the same for ever, so that upgrades can merge them", () => {
    expect(webhooks.map((webhook) => webhook["name"] as string)).toEqual([
      "namespace.inject.signet.dev",
      "pod.inject.signet.dev",
    ]);
  });

  it("is left out where injection is off", async () => {
    const off = await render({ "injection.enabled": false });
    expect(off.filter(({ kind }) => kind === "MutatingWebhookConfiguration")).toEqual([]);
  });
});
