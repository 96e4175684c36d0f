import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { TokenBucket } from "../kube/token-bucket.ts";
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from "../rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { SecretDiscoveryService } from "../rpc/gen/envoy/service/secret/v3/sds_pb.js";
import { addService } from "../rpc/server.ts";
import type { CallContext, Handlers, Send } from "../rpc/server.ts";
import type { ExtraService, ServedWorkload } from "./endpoint.ts";
import { entitled } from "./entitlement.ts";
import type { EntitledState, WorkloadSource } from "./ports.ts";
import { respondDelta, takeDeltaRequest } from "./sds-delta.ts";
import type { DeltaAnswer, DeltaSubscription } from "./sds-delta.ts";
import { SDS_NAMES, secretCatalogs } from "./sds-secrets.ts";
import type { SdsNames, SecretCatalog } from "./sds-secrets.ts";
import { streamSecrets } from "./sds-stream.ts";
import type { Dialogue } from "./sds-stream.ts";
import { respond, respondOnce, takeRequest } from "./sds-subscription.ts";
import type { DiscoveryAnswer, Subscription, Taken, TakeOptions } from "./sds-subscription.ts";

export interface SdsOptions {
  /** Those of SDS_NAMES where left out. */
  readonly names?: Partial<SdsNames>;
  /** Envoy verifies by one list of CAs unless its own metadata ask for SPIFFE's validator. */
  readonly disableSpiffeCertValidation?: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a client refuses is logged, but no client may fill the node's log. */
const REJECTIONS = { burst: 5, refillMs: 60_000 };
const MAX_REASON_CHARS = 500;

/**
 * Envoy's secret discovery service v3 for the workload of each socket: SVIDs and bundles by the names that SPIRE gives
 * them, pushed when they change. No header is asked for, because Envoy sends none. Codes are those of the Workload API;
 * INVALID_ARGUMENT for names that are not the workload's. Throws INVALID_ARGUMENT for names that are ambiguous.
 */
export function secretDiscovery(options: SdsOptions): ExtraService {
  const names = { ...SDS_NAMES, ...options.names };
  checkDistinct(names);
  const catalogOf = secretCatalogs(names);
  return {
    service: SecretDiscoveryService,
    add(server, workload) {
      const handlers = discoveryHandlers(workload, catalogOf, options);
      addService(server, SecretDiscoveryService, handlers, workload.onError);
    },
  };
}

function discoveryHandlers(
  { source, gate }: ServedWorkload,
  catalogOf: (state: EntitledState) => SecretCatalog,
  options: SdsOptions,
): Handlers<typeof SecretDiscoveryService> {
  const take: TakeOptions = { validatorDisabled: options.disableSpiffeCertValidation ?? false };
  const onRejection = rejectionLog(options, source);
  const stream = async <Q, A>(
    [requests, send, context]: readonly [AsyncIterable<Q>, Send<A>, CallContext],
    dialogue: Dialogue<Q, A>,
  ): Promise<void> => {
    // Every request counts as a call: a client that answers a stream without end is not worse than one that opens many.
    const admit = (): Promise<void> => gate.admit(context);
    await admit();
    await gate.run(context, (signal) =>
      streamSecrets({ requests, send, dialogue, source, admit, signal }),
    );
  };
  const wholeState: Protocol<Subscription, DiscoveryRequest, DiscoveryAnswer> = {
    take: (known, request) => takeRequest(known, request, take),
    respond: (subscription, state) => respond(subscription, catalogOf(state)),
    onRejection,
  };
  const changes: Protocol<DeltaSubscription, DeltaDiscoveryRequest, DeltaAnswer> = {
    take: (known, request) => takeDeltaRequest(known, request, take),
    respond: (subscription, state) => respondDelta(subscription, catalogOf(state)),
    onRejection,
  };
  return {
    streamSecrets: (...call) => stream(call, dialogueOf(wholeState)),
    deltaSecrets: (...call) => stream(call, dialogueOf(changes)),
    async fetchSecrets(request, context) {
      await gate.admit(context);
      return gate.run(context, () =>
        Promise.resolve(respondOnce(request, catalogOf(entitled(source.current())), take)),
      );
    },
  };
}

interface Protocol<Subscription, Request, Response> {
  readonly take: (known: Subscription | undefined, request: Request) => Taken<Subscription>;
  readonly respond: (
    subscription: Subscription,
    state: EntitledState,
  ) => { readonly subscription: Subscription; readonly response: Response } | undefined;
  readonly onRejection: (reason: string) => void;
}

/** A conversation that remembers its subscription. */
function dialogueOf<Subscription, Request, Response>({
  take,
  respond,
  onRejection,
}: Protocol<Subscription, Request, Response>): Dialogue<Request, Response> {
  let subscription: Subscription | undefined;
  return {
    take(request) {
      const taken = take(subscription, request);
      subscription = taken.subscription;
      if (taken.rejection !== undefined) onRejection(taken.rejection);
    },
    answer(state) {
      const told = subscription === undefined ? undefined : respond(subscription, state);
      subscription = told?.subscription ?? subscription;
      return told?.response;
    },
  };
}

function rejectionLog(
  { clock, log }: SdsOptions,
  source: WorkloadSource,
): (reason: string) => void {
  const bucket = new TokenBucket(REJECTIONS, clock.now());
  return (reason) => {
    if (bucket.take(clock.now()) !== 0) return;
    const state = source.current();
    const spiffeId = state.status === "entitled" ? state.svids[0]?.spiffeId : undefined;
    log.warn({ spiffeId, reason: reason.slice(0, MAX_REASON_CHARS) }, "Envoy refused its secrets");
  };
}

function checkDistinct({ svid, bundle, allBundles }: SdsNames): void {
  const used = [svid, bundle, allBundles].filter((name) => name !== "");
  if (new Set(used).size === used.length) return;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `SDS names: ${JSON.stringify(used)} hold one twice, so what it asks for is ambiguous; give each its own`,
  );
}
