import { SignetError } from "../core/errors.ts";

/** What the API server must be told to find a kind of object. */
export interface Resource {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  /** Lower-case name in the path, e.g. `pods`. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Names one object of a resource. */
export interface ObjectKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

const core = (plural: string, kind: string, namespaced = true): Resource => ({
  group: "",
  version: "v1",
  plural,
  kind,
  namespaced,
});

export const PODS = core("pods", "Pod");
export const NODES = core("nodes", "Node", false);
export const NAMESPACES = core("namespaces", "Namespace", false);
export const SECRETS = core("secrets", "Secret");
export const CONFIG_MAPS = core("configmaps", "ConfigMap");
export const EVENTS = core("events", "Event");

export const LEASES: Resource = {
  group: "coordination.k8s.io",
  version: "v1",
  plural: "leases",
  kind: "Lease",
  namespaced: true,
};

export const DEPLOYMENTS: Resource = {
  group: "apps",
  version: "v1",
  plural: "deployments",
  kind: "Deployment",
  namespaced: true,
};

export const ENDPOINT_SLICES: Resource = {
  group: "discovery.k8s.io",
  version: "v1",
  plural: "endpointslices",
  kind: "EndpointSlice",
  namespaced: true,
};

const admission = (plural: string, kind: string): Resource => ({
  group: "admissionregistration.k8s.io",
  version: "v1",
  plural,
  kind,
  namespaced: false,
});

export const MUTATING_WEBHOOK_CONFIGURATIONS = admission(
  "mutatingwebhookconfigurations",
  "MutatingWebhookConfiguration",
);
export const VALIDATING_WEBHOOK_CONFIGURATIONS = admission(
  "validatingwebhookconfigurations",
  "ValidatingWebhookConfiguration",
);

/** The `apiVersion` that objects of this resource carry. */
export function apiVersionOf(resource: Resource): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** How logs and errors name the resource, as kubectl does: `pods`, `leases.coordination.k8s.io`. */
export function resourceName(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

export interface ResourceLocation {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/**
 * The URL path of a collection (no name) or of an object.
 * A namespaced collection without a namespace means all namespaces. Throws INVALID_ARGUMENT when an object's
 * namespace is missing or a segment could change the path.
 */
export function resourcePath(resource: Resource, at: ResourceLocation = {}): string {
  const root = resource.group === "" ? "/api" : `/apis/${resource.group}`;
  const parts = [root, resource.version];
  if (resource.namespaced && at.namespace !== undefined) {
    parts.push("namespaces", segment(resource, at.namespace));
  } else if (resource.namespaced && at.name !== undefined) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `${resourceName(resource)} "${at.name}" needs a namespace: the resource is namespaced`,
    );
  }
  parts.push(resource.plural);
  if (at.name !== undefined) parts.push(segment(resource, at.name));
  if (at.subresource !== undefined) parts.push(segment(resource, at.subresource));
  return parts.join("/");
}

function segment(resource: Resource, value: string): string {
  if (value === "" || value === "." || value === "..") {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `"${value}" cannot be a name or namespace of ${resourceName(resource)}`,
    );
  }
  return encodeURIComponent(value);
}
