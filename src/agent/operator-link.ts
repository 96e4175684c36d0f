import type { MessageInitShape } from "@bufbuild/protobuf";
import { unlessAborted } from "../core/abort.ts";
import { backoffDelay } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { CallOptions, RpcClient } from "../rpc/client.ts";
import { Issuer } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type {
  AttestRequestSchema,
  IssueJwtRequestSchema,
  IssueJwtResponse,
  IssueResponse,
  NodeUpdate,
  RenewRequestSchema,
} from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { connect, openChannel } from "./channel.ts";
import type { OpenChannel } from "./channel.ts";
import type { TrustAnchors } from "./trust-anchors.ts";
import { watchedFile } from "./watched-file.ts";

const CONNECT_TIMEOUT_MS = 5000;
const ATTEST_RETRY = { initialMs: 100, maxMs: 1000, jitter: 0.5 };

/** When a call has to be answered, and what ends it early. */
export interface CallLimits {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** The way to the operator. Every call carries the agent's own token and runs over a verified session only. */
export interface OperatorLink {
  /**
   * First issue for a pod; the operator waits for an identity. While the operator is away it is tried again
   * until the deadline. Throws the operator's refusal (NO_IDENTITY, POD_GONE, PERMISSION_DENIED,
   * UNAUTHENTICATED, INVALID_ARGUMENT) at once, UNAVAILABLE at the deadline, CANCELLED after an abort.
   */
  attest(
    request: MessageInitShape<typeof AttestRequestSchema>,
    limits: CallLimits,
  ): Promise<IssueResponse>;
  /** One later issue for a pod of this node, tried once. Throws as `attest`, and DEADLINE_EXCEEDED. */
  renew(
    request: MessageInitShape<typeof RenewRequestSchema>,
    limits: CallLimits,
  ): Promise<IssueResponse>;
  /** JWT-SVIDs for a pod of this node, tried once. Throws as `renew`. */
  issueJwt(
    request: MessageInitShape<typeof IssueJwtRequestSchema>,
    limits: CallLimits,
  ): Promise<IssueJwtResponse>;
  /** What the node has to know, until the session breaks; then throws, or returns when the operator ended it. */
  watch(signal: AbortSignal): AsyncIterable<NodeUpdate>;
  /** Ends the channel; calls that wait for a connection fail with UNAVAILABLE. */
  close(): void;
}

export interface OperatorLinkOptions {
  /** host:port */
  readonly address: string;
  readonly trustDomain: TrustDomain;
  readonly tokenFile: string;
  readonly version: string;
  readonly anchors: TrustAnchors;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Makes the link; it connects with the first call. A changed set of trust anchors opens a new channel for new calls. */
export function operatorLink(options: OperatorLinkOptions): OperatorLink {
  const { clock, tokenFile, version } = options;
  const sessions = sessionPool(options);
  const token = watchedFile(tokenFile);
  const prepare = async (limits: Partial<CallLimits>): Promise<[RpcClient, CallOptions]> => {
    const client = await abortable(sessions.connected(limits.deadline), limits.signal);
    return [client, { ...limits, headers: { authorization: `Bearer ${readToken(token.read())}` } }];
  };
  const attestOnce: OperatorLink["attest"] = async (request, limits) => {
    const [client, call] = await prepare(limits);
    return client.unary(Issuer.method.attest, request, call);
  };
  return {
    attest: (request, limits) =>
      untilAnswered(() => attestOnce(request, limits), limits, { clock, random: options.random }),
    async renew(request, limits) {
      const [client, call] = await prepare(limits);
      return client.unary(Issuer.method.renew, request, call);
    },
    async issueJwt(request, limits) {
      const [client, call] = await prepare(limits);
      return client.unary(Issuer.method.issueJwt, request, call);
    },
    async *watch(signal) {
      const [client, call] = await prepare({ signal });
      yield* client.stream(Issuer.method.watch, { agentVersion: version }, call);
    },
    close: () => sessions.close(),
  };
}

interface Session extends OpenChannel {
  /** Of the anchors that it verifies with. */
  readonly fingerprint: string;
}

interface SessionPool {
  connected(deadline?: number): Promise<RpcClient>;
  close(): void;
}

function sessionPool({
  address,
  trustDomain,
  anchors,
  clock,
  log,
}: OperatorLinkOptions): SessionPool {
  let current: Session | undefined;
  let closed = false;
  const drop = (session: Session): void => {
    if (current === session) current = undefined;
    // Calls that run on the channel go on; it disappears after the last one.
    session.client.close();
  };
  const session = (): Session => {
    if (closed) throw new SignetError("UNAVAILABLE", "the agent is stopping");
    const { certificates, fingerprint } = anchors.current();
    if (current?.fingerprint === fingerprint) return current;
    if (current) {
      log.info({ anchors: certificates.length }, "trust anchors changed; opening a new channel");
      drop(current);
    }
    const opened = openChannel({ address, trustDomain, anchors: certificates });
    current = { fingerprint, ...opened };
    return current;
  };
  return {
    async connected(deadline = Infinity) {
      const chosen = session();
      const timeout = Math.min(CONNECT_TIMEOUT_MS, deadline - clock.now());
      const done = new AbortController();
      try {
        await connect(chosen.channel, clock.sleep(timeout, done.signal));
      } catch (error) {
        // A connection that hangs would keep every later call waiting.
        if (timeout === CONNECT_TIMEOUT_MS) drop(chosen);
        throw error;
      } finally {
        done.abort();
      }
      return chosen.client;
    },
    close() {
      closed = true;
      if (current) drop(current);
    },
  };
}

function readToken(text: string | undefined): string {
  const token = text?.trim();
  if (token) return token;
  throw new SignetError("UNAVAILABLE", "the agent's own token is missing");
}

type Attempt = () => Promise<IssueResponse>;

async function untilAnswered(
  attempt: Attempt,
  { deadline, signal }: CallLimits,
  { clock, random }: { clock: Clock; random: () => number },
): Promise<IssueResponse> {
  for (let i = 0; ; i++) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted) throw cancelled(error);
      if (!isPassing(error)) throw error;
      const delay = backoffDelay(i, ATTEST_RETRY, random);
      if (clock.now() + delay >= deadline) throw tooLate(error);
      await clock.sleep(delay, signal).catch((reason: unknown) => {
        throw cancelled(reason);
      });
    }
  }
}

/** CANCELLED that we did not ask for is an operator that goes down; DEADLINE_EXCEEDED ends the tries by itself. */
function isPassing(error: unknown): boolean {
  return isSignetError(
    error,
    "UNAVAILABLE",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
  );
}

function cancelled(cause: unknown): SignetError {
  return new SignetError("CANCELLED", "the caller gave up", { cause });
}

function tooLate(cause: unknown): SignetError {
  const message = `the operator gave no identity in time: ${errorMessage(cause)}`;
  return new SignetError("UNAVAILABLE", message, { cause });
}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? unlessAborted(promise, signal, () => cancelled(signal.reason)) : promise;
}
