import { beforeAll, describe, expect, it } from "vitest";
import {
  CLUSTER_FEDERATED_TRUST_DOMAINS,
  CLUSTER_SPIFFE_IDS,
  CLUSTER_STATIC_ENTRIES,
  SPIRE_GROUP,
  SPIRE_VERSION,
} from "../../src/api/resources.ts";
import { NAMESPACE, only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

const KIND = "ValidatingWebhookConfiguration";
let webhooks: Manifest[];

beforeAll(async () => {
  webhooks = only(await render(), KIND)["webhooks"] as Manifest[];
});

describe("the validating webhook configuration", () => {
  it("asks about new and changed objects of the three kinds, and stands in nobody's way", () => {
    const kinds = [CLUSTER_SPIFFE_IDS, CLUSTER_STATIC_ENTRIES, CLUSTER_FEDERATED_TRUST_DOMAINS];
    expect(webhooks).toEqual([
      {
        // The same for ever, so that upgrades can merge it with the caBundle it has.
        name: "validate.signet.dev",
        admissionReviewVersions: ["v1"],
        clientConfig: {
          service: { name: "signet-operator", namespace: NAMESPACE, path: "/validate", port: 443 },
        },
        rules: [
          {
            apiGroups: [SPIRE_GROUP],
            apiVersions: [SPIRE_VERSION],
            operations: ["CREATE", "UPDATE"],
            resources: kinds.map(({ plural }) => plural),
            scope: "Cluster",
          },
        ],
        matchConditions: [
          { name: "not-being-deleted", expression: "!has(object.metadata.deletionTimestamp)" },
        ],
        failurePolicy: "Ignore",
        matchPolicy: "Equivalent",
        sideEffects: "None",
        timeoutSeconds: 5,
      },
    ]);
  });

  it("insists where the values say so", async () => {
    const values = { "validation.failurePolicy": "Fail", "validation.timeoutSeconds": 10 };
    const [webhook] = only(await render(values), KIND)["webhooks"] as Manifest[];
    expect(webhook).toMatchObject({ failurePolicy: "Fail", timeoutSeconds: 10 });
  });

  it("is left out where validation is off, and only it", async () => {
    const off = await render({ "validation.enabled": false });
    expect(off.filter(({ kind }) => kind === KIND)).toEqual([]);
    expect(only(off, "MutatingWebhookConfiguration").webhooks).toHaveLength(2);
  });
});
