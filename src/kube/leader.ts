import { backoffDelay } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { CallOptions, KubeClient } from "./client.ts";
import {
  claimSpec,
  isHeldByOther,
  observeLease,
  releaseSpec,
  type ObservedLease,
} from "./lease.ts";
import { LEASES } from "./resources.ts";
import type { Lease, OwnerReference } from "./types.ts";

export interface LeaderElectionOptions {
  readonly client: Pick<KubeClient, "get" | "create" | "update">;
  readonly namespace: string;
  readonly name: string;
  /** Unlike that of any process that may run at the same time: the pod name, say. */
  readonly identity: string;
  /** How long others wait before they take over; 15 s when left out. */
  readonly leaseMs?: number;
  /** How long the leader leads without a renewal; 10 s when left out; must be below `leaseMs`. */
  readonly renewMs?: number;
  /** Between two tries; 2 s when left out. */
  readonly retryMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly ownerReferences?: OwnerReference[];
  /** Leads until `signal` aborts; an error is logged and leaves the leadership as it is. */
  readonly onStartedLeading: (signal: AbortSignal) => void | Promise<void>;
  readonly onStoppedLeading?: () => void;
}

export interface LeaderElection {
  /** Whether this process leads at this moment; ask right before doing what only the leader may. */
  isLeader(): boolean;
  /** The holder seen last; undefined when there is none. */
  holder(): string | undefined;
  /** Ends leading, waits for the leader's work, and releases the lease so that another takes over at once. */
  stop(): Promise<void>;
}

/** Takes part in the election until stopped; leadership that is lost is sought again. */
export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const elector = new Elector(options);
  const running = elector.run();
  return {
    isLeader: () => elector.isLeader(),
    holder: () => elector.holder(),
    async stop() {
      elector.abort();
      await running;
    },
  };
}

type Outcome = "held" | "other";

const RELEASE_TRIES = 3;
/** Short: the process is on its way out, and an unreleased lease only expires later. */
const RELEASE_MS = 2000;

class Elector {
  readonly #options: LeaderElectionOptions;
  readonly #times: { readonly leaseMs: number; readonly renewMs: number; readonly retryMs: number };
  readonly #log: Log;
  readonly #stop = new AbortController();
  #observed: ObservedLease | undefined;
  /** Start of the last request that renewed the lease: others saw it no earlier. */
  #renewedAt = 0;
  #leading = false;

  constructor(options: LeaderElectionOptions) {
    const {
      leaseMs = 15_000,
      renewMs = 10_000,
      retryMs = 2000,
      namespace,
      name,
      identity,
    } = options;
    if (!(retryMs > 0 && retryMs < renewMs && renewMs < leaseMs)) {
      throw new SignetError(
        "INVALID_ARGUMENT",
        `leader election needs retryMs < renewMs < leaseMs, got ${retryMs}, ${renewMs}, ${leaseMs}`,
      );
    }
    this.#options = options;
    this.#times = { leaseMs, renewMs, retryMs };
    this.#log = options.log.child({ lease: `${namespace}/${name}`, identity });
  }

  isLeader(): boolean {
    const { clock } = this.#options;
    return this.#leading && clock.now() - this.#renewedAt < this.#times.renewMs;
  }

  holder(): string | undefined {
    return this.#observed?.lease.spec?.holderIdentity || undefined;
  }

  abort(): void {
    this.#stop.abort(new SignetError("CANCELLED", "the leader election was stopped"));
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if ((await this.#attempt(signal)) === "held") await this.#lead();
      else await this.#pause(signal);
    }
  }

  async #lead(): Promise<void> {
    const { onStartedLeading, onStoppedLeading } = this.#options;
    const term = new AbortController();
    this.#leading = true;
    this.#log.info({ transitions: this.#observed?.lease.spec?.leaseTransitions }, "leading");
    const work = runWork(() => onStartedLeading(term.signal), this.#log);
    await this.#renewUntilLost();
    this.#leading = false;
    term.abort(new SignetError("CANCELLED", "this process no longer leads"));
    this.#log.info(
      { holder: this.holder(), stopping: this.#stop.signal.aborted },
      "stopped leading",
    );
    await runWork(() => onStoppedLeading?.(), this.#log);
    // The next term must not begin, nor the lease go, while work of this one goes on.
    await work;
    if (this.#stop.signal.aborted) await this.#release();
  }

  /** Returns when stopped, when another one holds the lease, or when `renewMs` have gone by without a renewal. */
  async #renewUntilLost(): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const spent = Math.max(0, clock.now() - this.#renewedAt);
      const renewed = await this.#renewWithin(Math.max(0, this.#times.renewMs - spent));
      if (!renewed || this.#stop.signal.aborted) return;
    }
  }

  async #renewWithin(ms: number): Promise<boolean> {
    const round = new AbortController();
    const give = (): void => round.abort(this.#stop.signal.reason);
    this.#stop.signal.addEventListener("abort", give, { once: true });
    const expire = this.#options.clock.sleep(ms, round.signal).then(
      () => {
        round.abort(new SignetError("DEADLINE_EXCEEDED", "the lease could not be renewed in time"));
        return false;
      },
      () => false,
    );
    try {
      return await Promise.race([this.#renew(round.signal), expire]);
    } finally {
      this.#stop.signal.removeEventListener("abort", give);
      round.abort();
    }
  }

  async #renew(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      await this.#pause(signal);
      if (signal.aborted) break;
      const outcome = await this.#attempt(signal);
      if (outcome !== undefined) return outcome === "held";
    }
    return false;
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const { retryMs } = this.#times;
    // Electors that lose a race together should not meet again; a leader's own pace is not widened.
    const options = { initialMs: retryMs, maxMs: retryMs, jitter: this.#leading ? 0 : 0.2 };
    await clock.sleep(backoffDelay(0, options, random), signal).catch(() => undefined);
  }

  /** One try to take or renew the lease; undefined when it failed and nothing is known. */
  async #attempt(signal: AbortSignal): Promise<Outcome | undefined> {
    try {
      return await this.#takeOrRenew(signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      const lostRace = isSignetError(error, "CONFLICT", "ALREADY_EXISTS");
      const fields = { error: errorMessage(error), leading: this.#leading };
      if (lostRace) this.#log.debug(fields, "another elector was faster");
      else this.#log.warn(fields, "lease not taken or renewed");
      return undefined;
    }
  }

  async #takeOrRenew(signal: AbortSignal): Promise<Outcome> {
    const { client, identity, clock, namespace, name } = this.#options;
    const call = { signal, timeoutMs: Math.max(1000, this.#times.renewMs / 2) };
    const lease = await this.#current(call);
    if (lease) this.#observe(lease);
    if (this.#observed && lease && isHeldByOther(this.#observed, identity, this.#times.leaseMs)) {
      return "other";
    }
    const startedAt = clock.now();
    const spec = claimSpec(lease?.spec, { identity, leaseMs: this.#times.leaseMs, now: startedAt });
    const { ownerReferences } = this.#options;
    const metadata = { namespace, name, ...(ownerReferences ? { ownerReferences } : {}) };
    const written = lease
      ? await client.update<Lease>(LEASES, { ...lease, spec }, call)
      : await client.create<Lease>(LEASES, { metadata, spec }, call);
    this.#observe(written);
    this.#renewedAt = startedAt;
    return "held";
  }

  async #current(call: CallOptions): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get<Lease>(LEASES, { namespace, name }, call);
    } catch (error) {
      if (isSignetError(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }

  #observe(lease: Lease): void {
    const options = { now: this.#options.clock.now(), longestStepMs: this.#times.leaseMs / 2 };
    this.#observed = observeLease(this.#observed, lease, options);
  }

  async #release(): Promise<void> {
    // A renewal that was broken off may still arrive and make the first try fail.
    for (let tries = 1; tries <= RELEASE_TRIES; tries += 1) {
      try {
        return await this.#releaseOnce();
      } catch (error) {
        if (isSignetError(error, "CONFLICT") && tries < RELEASE_TRIES) continue;
        const fields = { error: errorMessage(error) };
        return this.#log.warn(fields, "lease not released; it expires by itself");
      }
    }
  }

  async #releaseOnce(): Promise<void> {
    const { client, identity, clock } = this.#options;
    const call = { timeoutMs: RELEASE_MS };
    const lease = await this.#current(call);
    if (lease?.spec?.holderIdentity !== identity) return;
    const spec = releaseSpec(lease.spec, clock.now());
    await client.update<Lease>(LEASES, { ...lease, spec }, call);
  }
}

async function runWork(work: () => void | Promise<void>, log: Log): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.error({ error: errorMessage(error), err: error }, "work of the leader failed");
  }
}
