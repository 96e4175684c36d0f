import { z } from "zod";
import { SignetError } from "../core/errors.ts";
import type { ObjectMeta, PodSpec } from "../kube/types.ts";

/** A pod on its way in: no uid yet, and often only a generateName. */
export interface IncomingPod {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec: PodSpec;
}

const container = z.looseObject({
  name: z.string(),
  env: z.array(z.looseObject({ name: z.string() })).optional(),
  volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })).optional(),
});

const stringMap = z.record(z.string(), z.string());

/** Only the fields that injection reads or extends; everything else passes through untouched. */
const podShape = z.looseObject({
  metadata: z
    .looseObject({
      name: z.string().optional(),
      generateName: z.string().optional(),
      labels: stringMap.optional(),
      annotations: stringMap.optional(),
    })
    .optional(),
  spec: z.looseObject({
    containers: z.array(container),
    initContainers: z.array(container).optional(),
    volumes: z
      .array(
        z.looseObject({
          name: z.string(),
          csi: z
            .looseObject({ driver: z.string(), volumeAttributes: stringMap.optional() })
            .optional(),
        }),
      )
      .optional(),
  }),
});

/**
 * Checks the fields of a pod that injection relies on and gives the same object back, typed.
 * Throws INVALID_ARGUMENT that names the first field that is wrong.
 */
export function readPod(object: unknown): IncomingPod {
  const checked = podShape.safeParse(object);
  if (checked.success) return object as IncomingPod;
  const issue = checked.error.issues[0];
  const field = issue?.path.join(".") || "(root)";
  throw new SignetError("INVALID_ARGUMENT", `not a pod: ${field}: ${issue?.message ?? "invalid"}`);
}
