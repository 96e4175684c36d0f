import type { MessageInitShape } from "@bufbuild/protobuf";
import { SignetError } from "../core/errors.ts";
import type {
  DiscoveryRequest,
  DiscoveryResponseSchema,
} from "../rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { checkNames, checkType, validatorFor } from "./sds-requests.ts";
import { contentHash, SECRET_TYPE } from "./sds-secrets.ts";
import type { CertificateValidator, SecretCatalog } from "./sds-secrets.ts";

export type DiscoveryAnswer = MessageInitShape<typeof DiscoveryResponseSchema>;

/** What a client of StreamSecrets has asked for, and what it was told last. */
export interface Subscription {
  /** Sorted; empty asks for everything. */
  readonly names: readonly string[];
  readonly validator: CertificateValidator;
  /** A response is due whether or not there is something new. */
  readonly due: boolean;
  /** The number of responses so far, which is the last one's nonce. */
  readonly sent: number;
  /** Of the last response. */
  readonly version: string | undefined;
  /** The client refused the last response. */
  readonly rejected: boolean;
}

/** The next state of a subscription. */
export interface Taken<S> {
  readonly subscription: S;
  /** Why the client refuses the last response; told once for each. */
  readonly rejection?: string;
}

export interface TakeOptions {
  /** Envoy's SPIFFE certificate validator is not used unless the client's metadata ask for it. */
  readonly validatorDisabled: boolean;
}

/**
 * Takes a request of the state-of-the-world protocol. One that answers another response than the last is ignored.
 * Neither an acceptance nor a refusal makes a response due, only other names do. Throws INVALID_ARGUMENT.
 */
export function takeRequest(
  known: Subscription | undefined,
  request: DiscoveryRequest,
  { validatorDisabled }: TakeOptions,
): Taken<Subscription> {
  checkType(request.typeUrl);
  const { node, responseNonce, versionInfo, errorDetail } = request;
  if (known !== undefined && known.sent > 0 && responseNonce !== `${known.sent}`) {
    return { subscription: known };
  }
  const names = checkNames(request.resourceNames);
  if (known === undefined) {
    const validator = validatorFor(node, validatorDisabled);
    const start = { due: true, sent: 0, version: undefined, rejected: false };
    return { subscription: { names, validator, ...start } };
  }
  const subscription: Subscription = {
    ...known,
    names,
    // Clients may name themselves in the first request of a stream only.
    validator: node === undefined ? known.validator : validatorFor(node, validatorDisabled),
    due: known.due || !sameNames(known.names, names),
  };
  const refused = errorDetail !== undefined || versionInfo !== known.version;
  if (!refused || known.sent === 0 || known.rejected) return { subscription };
  const rejection = errorDetail?.message ?? "";
  return { subscription: { ...subscription, rejected: true }, rejection };
}

/**
 * The response to a subscription, if there is something new to tell. Throws INVALID_ARGUMENT, like SPIRE, when one of
 * the names is not the workload's.
 */
export function respond(
  subscription: Subscription,
  catalog: SecretCatalog,
): { readonly subscription: Subscription; readonly response: DiscoveryAnswer } | undefined {
  const { version, resources } = snapshot(subscription, catalog);
  if (!subscription.due && version === subscription.version) return undefined;
  const sent = subscription.sent + 1;
  return {
    subscription: { ...subscription, due: false, sent, version, rejected: false },
    response: { versionInfo: version, resources, typeUrl: SECRET_TYPE, nonce: `${sent}` },
  };
}

/** The response to a single question. Throws INVALID_ARGUMENT. */
export function respondOnce(
  request: DiscoveryRequest,
  catalog: SecretCatalog,
  options: TakeOptions,
): DiscoveryAnswer {
  const { subscription } = takeRequest(undefined, request, options);
  const { version, resources } = snapshot(subscription, catalog);
  return { versionInfo: version, resources, typeUrl: SECRET_TYPE };
}

function snapshot({ names, validator }: Subscription, catalog: SecretCatalog) {
  const wanted = names.length === 0 ? catalog.ids : names;
  const found = wanted.map((name) => catalog.find(name, validator));
  const unknown = wanted.filter((_, i) => found[i] === undefined);
  if (unknown.length > 0) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `workload is not authorized for the requested identities ${JSON.stringify(unknown)}`,
    );
  }
  const secrets = found.filter((secret) => secret !== undefined);
  const version = contentHash(secrets.map((secret) => secret.version));
  return { version, resources: secrets.map(({ resource }) => resource) };
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}
