import type { Selector } from "../spiffe/selector.ts";
import type { NamespaceObject, PodObject } from "./objects.ts";

/** What selectors are decided on. */
export interface SelectorFacts {
  readonly pod: PodObject;
  readonly namespace: NamespaceObject;
}

/** Tells whether one selector is true of a pod. */
export type SelectorTest = (facts: SelectorFacts) => boolean;

/** A selector in the spelling of SPIRE's k8s workload attestor, ready to be decided. */
export type PodSelector =
  | { readonly test: SelectorTest; readonly readsImages: boolean; readonly problem: undefined }
  /** Why no pod could ever be known to have it. */
  | { readonly problem: string };

/** What the API server's objects say about a pod: the test of each name, given what follows `name:`. */
const TESTS: Readonly<Record<string, (value: string) => SelectorTest>> = {
  ns:
    (value) =>
    ({ pod }) =>
      (pod.metadata.namespace ?? "") === value,
  sa:
    (value) =>
    ({ pod }) =>
      (pod.spec.serviceAccountName ?? "") === value,
  "node-name":
    (value) =>
    ({ pod }) =>
      (pod.spec.nodeName ?? "") === value,
  "pod-uid":
    (value) =>
    ({ pod }) =>
      pod.metadata.uid === value,
  "pod-name":
    (value) =>
    ({ pod }) =>
      pod.metadata.name === value,
  "pod-label": (value) => labelTest(value, ({ pod }) => pod.metadata.labels),
  "pod-owner": (value) => ownerTest(value, ({ kind, name }) => `${kind}:${name}`),
  "pod-owner-uid": (value) => ownerTest(value, ({ kind, uid }) => `${kind}:${uid}`),
  "pod-image":
    (value) =>
    ({ pod }) =>
      imagesOf(pod, "container").has(value),
  "pod-image-count":
    (value) =>
    ({ pod }) =>
      String(countOf(pod, "container")) === value,
  "pod-init-image":
    (value) =>
    ({ pod }) =>
      imagesOf(pod, "initContainer").has(value),
  "pod-init-image-count":
    (value) =>
    ({ pod }) =>
      String(countOf(pod, "initContainer")) === value,
  "ns-label": (value) => labelTest(value, ({ namespace }) => namespace.metadata.labels),
};

/** Selector names that can be decided, as they follow `k8s:`. */
export const POD_SELECTORS: readonly string[] = Object.keys(TESTS);

/** What a value has to look like, so that any pod could have it; and how that is said. */
const FORMS: Readonly<Record<string, readonly [form: RegExp, need: string]>> = {
  "pod-label": [/^[^:]+:/, "a key and a value: k8s:pod-label:<key>:<value>"],
  "ns-label": [/^[^:]+:/, "a key and a value: k8s:ns-label:<key>:<value>"],
  "pod-owner": [/^[^:]+:./, "a kind and a name: k8s:pod-owner:<Kind>:<name>"],
  "pod-owner-uid": [/^[^:]+:./, "a kind and a UID: k8s:pod-owner-uid:<Kind>:<uid>"],
  "pod-image-count": [/^(?:0|[1-9]\d*)$/, "a whole number"],
  "pod-init-image-count": [/^(?:0|[1-9]\d*)$/, "a whole number"],
};

/** Names of selectors that need the pod's containers and their statuses. */
const IMAGE_NAME = /^pod-(?:init-)?image(?:-count)?$/;

/** Prepares a selector to be decided; a problem says why it never can be. Constant work per pod but for images. */
export function compilePodSelector({ type, value }: Selector): PodSelector {
  if (type !== "k8s") {
    return { problem: `selectors of type ${JSON.stringify(type)} are not known; use "k8s"` };
  }
  const name = value.split(":", 1)[0] ?? "";
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (test === undefined) return { problem: undecidable(name) };
  const rest = value.slice(name.length + 1);
  if (rest === "") return { problem: `"k8s:${name}" needs a value after it` };
  const [form, need] = FORMS[name] ?? [];
  if (form?.test(rest) === false) return { problem: `"k8s:${name}" needs ${need}` };
  return { problem: undefined, test: test(rest), readsImages: IMAGE_NAME.test(name) };
}

/**
 * Tells whether a template of selectors could give one that needs the pod's images, by the text before its
 * first action.
 */
export function mayReadImages(template: string): boolean {
  const literal = /^k8s:([a-z-]+):/.exec(template)?.[1];
  return literal === undefined || !Object.hasOwn(TESTS, literal) || IMAGE_NAME.test(literal);
}

function undecidable(name: string): string {
  if (name.startsWith("container-")) {
    return `"k8s:${name}" cannot be decided: an identity belongs to the whole pod, not to one container`;
  }
  if (name.startsWith("image-signature") || name.startsWith("image-attestations")) {
    return `"k8s:${name}" cannot be decided: signatures of images are not looked at; leave that to an admission policy`;
  }
  return `"k8s:${name}" is not a selector that is known; use one of ${POD_SELECTORS.join(", ")}`;
}

function labelTest(
  text: string,
  labelsOf: (facts: SelectorFacts) => Readonly<Record<string, string>> | undefined,
): SelectorTest {
  const colon = text.indexOf(":");
  const key = text.slice(0, colon);
  const value = text.slice(colon + 1);
  return (facts) => {
    const labels = labelsOf(facts);
    return labels !== undefined && Object.hasOwn(labels, key) && labels[key] === value;
  };
}

function ownerTest(
  value: string,
  format: (owner: { kind: string; name: string; uid: string }) => string,
): SelectorTest {
  return ({ pod }) => pod.metadata.ownerReferences?.some((o) => format(o) === value) ?? false;
}

type ContainerSort = "container" | "initContainer";

/**
 * Images as the spec names them and, once the containers run, as the container runtime does: the tag and the
 * digest. At a pod's first start only the former are there.
 */
function imagesOf({ spec, status }: PodObject, sort: ContainerSort): ReadonlySet<string> {
  const images = new Set<string>();
  for (const { image } of spec[`${sort}s`] ?? []) if (image) images.add(image);
  for (const { image, imageID } of status?.[`${sort}Statuses`] ?? []) {
    if (image) images.add(image);
    if (imageID) images.add(imageID);
  }
  return images;
}

function countOf({ spec, status }: PodObject, sort: ContainerSort): number {
  return spec[`${sort}s`]?.length ?? status?.[`${sort}Statuses`]?.length ?? 0;
}
