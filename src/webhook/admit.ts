import { SignetError } from "../core/errors.ts";
import { idleAnnotations, injectVolume } from "./mutate.ts";
import type { InjectionOptions } from "./mutate.ts";
import { diff } from "./patch.ts";
import { readPod } from "./pod.ts";
import type { IncomingPod } from "./pod.ts";
import type { Admission, AdmissionRequest } from "./review.ts";

/** Label of namespaces and pods that asks for the volume (`true`) or forbids it (`false`). */
const INJECT_LABEL = "signet.dev/inject";

/** Set by kubelet on the API server's copy of a static pod, which nothing is ever run from. */
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

/**
 * Makes the admitter of the mutating webhook: new pods get the identity volume.
 * Which pods are asked about is up to the webhook's selectors; a pod that says no is left alone even so.
 */
export function podInjector(options: InjectionOptions): (request: AdmissionRequest) => Admission {
  return (request) => {
    const { kind, operation, subResource } = request;
    if (kind.group !== "" || kind.version !== "v1" || kind.kind !== "Pod") {
      throw new SignetError("INVALID_ARGUMENT", `cannot inject into a ${kind.kind}`);
    }
    if (operation !== "CREATE" || subResource !== "")
      return { patch: [], outcome: "not a new pod" };
    const pod = readPod(request.object);
    const exemption = exempt(pod);
    if (exemption !== undefined) return { patch: [], outcome: exemption };
    const patch = diff(pod, injectVolume(pod, options));
    const outcome = patch.length > 0 ? "injected" : "already complete";
    const warnings = idleAnnotations(pod, options);
    return { patch, outcome, ...(warnings.length > 0 && { warnings }) };
  };
}

function exempt({ metadata }: IncomingPod): string | undefined {
  if (metadata?.labels?.[INJECT_LABEL] === "false") return `label ${INJECT_LABEL} is false`;
  if (metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined) return "copy of a static pod";
  return undefined;
}
