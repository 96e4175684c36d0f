import { z } from "zod";

/** Parts that several kinds share. Descriptions are what `kubectl explain` shows. */

/** Reduced to `type: object` in CRDs: the API server owns the schema of metadata. */
export const metadataSchema = z.looseObject({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string().optional(),
  generation: z.int().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

const selectorRequirementSchema = z
  .object({
    key: z.string().describe("Label key the requirement is about."),
    operator: z.string().describe("How key and values relate: In, NotIn, Exists or DoesNotExist."),
    values: z
      .array(z.string())
      .describe("Label values; at least one for In and NotIn, none for Exists and DoesNotExist.")
      .meta({ "x-kubernetes-list-type": "atomic" })
      .optional(),
  })
  .describe("One condition on a label.");

/** metav1.LabelSelector; `what` says in a sentence what is selected. */
export function labelSelectorSchema(what: string) {
  return z
    .object({
      matchLabels: z
        .record(z.string(), z.string())
        .describe("Labels that must be present with exactly these values.")
        .optional(),
      matchExpressions: z
        .array(selectorRequirementSchema)
        .describe("Further conditions on labels; all of them must hold.")
        .meta({ "x-kubernetes-list-type": "atomic" })
        .optional(),
    })
    .describe(what)
    .meta({ "x-kubernetes-map-type": "atomic" });
}

export type LabelSelectorSpec = z.infer<ReturnType<typeof labelSelectorSchema>>;

export const classNameSchema = z
  .string()
  .describe(
    "Which operator instance owns the object. An operator takes objects of its own class, and those " +
      "without a class when it is configured to watch them.",
  );

export const federatesWithSchema = z
  .array(z.string())
  .describe("Names of trust domains whose bundles the workload receives beside its own.");

export const hintSchema = z
  .string()
  .describe("Passed to the workload with the SVID, so that it can choose among several.");

const conditionSchema = z
  .object({
    type: z.string().describe("Name of the condition, in CamelCase."),
    status: z.enum(["True", "False", "Unknown"]).describe("Whether the condition holds."),
    observedGeneration: z
      .int()
      .describe("The metadata.generation the condition was computed from.")
      .meta({ format: "int64" })
      .optional(),
    lastTransitionTime: z
      .string()
      .describe("When the status last changed.")
      .meta({ format: "date-time" }),
    reason: z.string().describe("Why, as one word in CamelCase."),
    message: z.string().describe("Why, in words: the object, the field, and the way out."),
  })
  .describe("One aspect of the object's state.");

/** What the status of every kind has. */
export const commonStatus = {
  observedGeneration: z
    .int()
    .describe("The metadata.generation that this status describes.")
    .meta({ format: "int64" })
    .optional(),
  conditions: z
    .array(conditionSchema)
    .describe("Ready says whether the object is in effect, and otherwise why not.")
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"] })
    .optional(),
};
