import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponseSchema,
} from "../rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { checkNames, checkType, validatorFor } from "./sds-requests.ts";
import { contentHash, SECRET_TYPE } from "./sds-secrets.ts";
import type { CertificateValidator, NamedSecret, SecretCatalog } from "./sds-secrets.ts";
import type { Taken, TakeOptions } from "./sds-subscription.ts";

export type DeltaAnswer = MessageInitShape<typeof DeltaDiscoveryResponseSchema>;

/** Asks for everything, beside or instead of names. */
const ALL_NAMES = "*";
/** The version of what the client knows not to exist. */
const ABSENT = "";

/** What a client of DeltaSecrets has asked for, and what it holds. */
export interface DeltaSubscription {
  /** Sorted; may hold ALL_NAMES. */
  readonly names: readonly string[];
  readonly validator: CertificateValidator;
  /** Name → version that was told last. */
  readonly held: ReadonlyMap<string, string>;
  /**
   * Told once and not told since they were asked for again or no more: a client that reads of them only after it asked
   * for everything again takes them for its own, and must be told when they are gone.
   */
  readonly left: ReadonlySet<string>;
  /** The number of responses so far, which is the last one's nonce. */
  readonly sent: number;
  /** The client refused the last response. */
  readonly rejected: boolean;
}

/**
 * Takes a request of the incremental protocol: names come and go whatever response it answers, and who asks again for a
 * name is told it again. A stream's first request that asks for nothing asks for everything. Throws INVALID_ARGUMENT.
 */
export function takeDeltaRequest(
  known: DeltaSubscription | undefined,
  request: DeltaDiscoveryRequest,
  { validatorDisabled }: TakeOptions,
): Taken<DeltaSubscription> {
  checkType(request.typeUrl);
  if (known === undefined) return { subscription: begin(request, validatorDisabled) };
  const { node, resourceNamesSubscribe: more, resourceNamesUnsubscribe: less } = request;
  const kept = known.names.filter((name) => !less.includes(name));
  const names = checkNames([...kept, ...more]);
  const held = stillHeld(known.held, names, [...less, ...more]);
  const subscription: DeltaSubscription = {
    ...known,
    names,
    held,
    left: leftBehind(known, held),
    // Clients may name themselves in the first request of a stream only.
    validator: node === undefined ? known.validator : validatorFor(node, validatorDisabled),
  };
  const { errorDetail, responseNonce } = request;
  const refused = errorDetail !== undefined && responseNonce === `${known.sent}`;
  if (!refused || known.sent === 0 || known.rejected) return { subscription };
  return { subscription: { ...subscription, rejected: true }, rejection: errorDetail.message };
}

function begin(request: DeltaDiscoveryRequest, validatorDisabled: boolean): DeltaSubscription {
  const { node, resourceNamesSubscribe: asked } = request;
  const names = checkNames(asked.length === 0 ? [ALL_NAMES] : asked);
  const validator = validatorFor(node, validatorDisabled);
  const held = heldBefore(request, names);
  return { names, validator, held, left: new Set(), sent: 0, rejected: false };
}

/** What the client holds from an earlier stream of what it asks for. */
function heldBefore(
  { initialResourceVersions }: DeltaDiscoveryRequest,
  names: readonly string[],
): Map<string, string> {
  const all = names.includes(ALL_NAMES);
  const held = Object.entries(initialResourceVersions).filter(
    ([name]) => all || names.includes(name),
  );
  checkNames(held.map(([name]) => name));
  return new Map(held);
}

function stillHeld(
  held: ReadonlyMap<string, string>,
  names: readonly string[],
  asked: readonly string[],
): Map<string, string> {
  const all = names.includes(ALL_NAMES);
  const again = new Set(asked);
  return new Map([...held].filter(([name]) => !again.has(name) && (all || names.includes(name))));
}

/** What the client was told to exist, beyond what it holds for sure. */
function leftBehind(known: DeltaSubscription, held: ReadonlyMap<string, string>): Set<string> {
  const present = [...known.held].filter(([, version]) => version !== ABSENT);
  const told = [...known.left, ...present.map(([name]) => name)];
  return new Set(told.filter((name) => !held.has(name)));
}

/** The response to a subscription, if there is something new to tell. Throws INVALID_ARGUMENT. */
export function respondDelta(
  subscription: DeltaSubscription,
  catalog: SecretCatalog,
): { readonly subscription: DeltaSubscription; readonly response: DeltaAnswer } | undefined {
  const { names, validator, held } = subscription;
  const all = names.includes(ALL_NAMES);
  const named = names.filter((name) => name !== ALL_NAMES);
  const wanted = new Set(all ? [...named, ...catalog.ids] : named);
  const found = [...wanted].map((name) => [name, catalog.find(name, validator)] as const);
  const present = found.map(([, secret]) => secret).filter((secret) => secret !== undefined);
  const changed = present.filter(({ name, version }) => held.get(name) !== version);
  const absent = found.filter(([, secret]) => secret === undefined).map(([name]) => name);
  const left = all ? subscription.left : [];
  const gone = [...held.keys(), ...left].filter((name) => !wanted.has(name));
  const removed = [...absent, ...gone].filter((name) => held.get(name) !== ABSENT);
  if (changed.length + removed.length === 0) return undefined;
  const sent = subscription.sent + 1;
  const versions = new Map([
    ...present.map(({ name, version }) => [name, version] as const),
    ...absent.map((name) => [name, ABSENT] as const),
  ]);
  return {
    subscription: {
      ...subscription,
      held: versions,
      left: new Set(all ? [] : [...subscription.left].filter((name) => !wanted.has(name))),
      sent,
      rejected: false,
    },
    response: {
      systemVersionInfo: contentHash(present.map(({ version }) => version)),
      resources: changed.map(resourceOf),
      typeUrl: SECRET_TYPE,
      nonce: `${sent}`,
      removedResources: removed,
    },
  };
}

function resourceOf({ name, version, resource }: NamedSecret) {
  return { name, version, resource };
}
