import * as fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { manualClock, systemClock, type Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import { claimSpec, isHeldByOther, microTime, observeLease } from "../../src/kube/lease.ts";
import { startLeaderElection } from "../../src/kube/leader.ts";
import type { LeaderElection, LeaderElectionOptions } from "../../src/kube/leader.ts";
import { LEASES } from "../../src/kube/resources.ts";
import type { Lease } from "../../src/kube/types.ts";
import { ApiFailure } from "../fakes/api-failure.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import { ApiStore } from "../fakes/api-store.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Candidate {
  readonly election: LeaderElection;
  /** Signals of the terms that have begun. */
  readonly terms: AbortSignal[];
  /** Whether work of a term goes on. */
  working(): boolean;
}

function runElector(
  identity: string,
  options: Pick<LeaderElectionOptions, "client" | "clock"> & Partial<LeaderElectionOptions>,
): Candidate {
  const terms: AbortSignal[] = [];
  const election = startLeaderElection({
    namespace: "signet-system",
    name: "signet",
    identity,
    log: silentLog(),
    random: () => 0.5,
    onStartedLeading: (signal) => void terms.push(signal),
    ...options,
  });
  return { election, terms, working: () => terms.some((signal) => !signal.aborted) };
}

describe("against an API server", () => {
  const times = { leaseMs: 1000, renewMs: 600, retryMs: 100 };

  async function twoElectors() {
    const server = await startFakeApiServer();
    cleanups.push(() => server.close());
    const clock = systemClock();
    const begin = (identity: string): Candidate => {
      const client = createKubeClient({ config: server.config(identity), clock });
      const candidate = runElector(identity, { client, clock, ...times });
      cleanups.push(async () => {
        await candidate.election.stop();
        await client.close();
      });
      return candidate;
    };
    const first = begin("one");
    await vi.waitFor(() => expect(first.election.isLeader()).toBe(true), 10_000);
    const second = begin("two");
    await vi.waitFor(() => expect(second.election.holder()).toBe("one"), 10_000);
    const lease = () => server.objects<Lease>(LEASES)[0];
    return { server, first, second, lease };
  }

  it("writes the lease as client-go does", async () => {
    const { lease } = await twoElectors();
    expect(lease()?.spec).toEqual({
      holderIdentity: "one",
      leaseDurationSeconds: 1,
      acquireTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      renewTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      leaseTransitions: 0,
    });
  });

  it("hands over when the leader's connection is cut, after the leader has stopped", async () => {
    const { server, first, second, lease } = await twoElectors();
    let bothLed = false;
    const watchdog = setInterval(() => (bothLed ||= first.working() && second.working()), 1);
    server.intercept = ({ headers }) =>
      headers.authorization === "Bearer one" ? "reset" : undefined;
    server.breakConnections("one");
    await vi.waitFor(() => expect(second.election.isLeader()).toBe(true), 10_000);
    expect(first.working()).toBe(false);
    expect(first.election.isLeader()).toBe(false);
    clearInterval(watchdog);
    expect(bothLed).toBe(false);
    expect(lease()?.spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 1 });
    server.intercept = () => undefined;
    await vi.waitFor(() => expect(first.election.holder()).toBe("two"), 10_000);
    expect(first.terms).toHaveLength(1);
  });

  it("stops leading when the API server no longer answers", async () => {
    const { server, first } = await twoElectors();
    server.intercept = ({ headers }) =>
      headers.authorization === "Bearer one" ? "hang" : undefined;
    await vi.waitFor(() => expect(first.working()).toBe(false), 10_000);
  });

  it("releases the lease on stop, so that the other need not wait", async () => {
    const { first, second, lease } = await twoElectors();
    await first.election.stop();
    expect(first.working()).toBe(false);
    expect(first.election.isLeader()).toBe(false);
    const released = lease()?.spec;
    expect(released?.holderIdentity === "" || released?.holderIdentity === "two").toBe(true);
    await vi.waitFor(() => expect(second.election.isLeader()).toBe(true), 10_000);
  });
});

/** A link of one elector to a shared store of leases: can be cut, and can lose the answer of a write. */
function link(store: ApiStore, clock: Clock) {
  const table = store.table(LEASES);
  const state = { up: true, loseAnswers: false, delayMs: 0 };
  const call = async <T>(signal: AbortSignal | undefined, run: () => T): Promise<T> => {
    if (state.delayMs > 0) await clock.sleep(state.delayMs, signal);
    if (!state.up) throw new SignetError("UNAVAILABLE", "cut off");
    return structuredClone(attempt(run));
  };
  const write = async <T>(signal: AbortSignal | undefined, run: () => T): Promise<T> => {
    const result = await call(signal, run);
    if (state.loseAnswers) throw new SignetError("UNAVAILABLE", "the answer was lost");
    return result;
  };
  type Call = { signal?: AbortSignal };
  const client = {
    get: (_: unknown, key: { namespace?: string; name: string }, options?: Call) =>
      call(options?.signal, () => store.get(table, key.namespace, key.name)),
    create: (_: unknown, object: Lease, options?: Call) =>
      write(options?.signal, () => store.create(table, object, object.metadata.namespace)),
    update: (_: unknown, object: Lease, options?: Call) =>
      write(options?.signal, () => {
        const current = store.get(table, object.metadata.namespace, object.metadata.name);
        store.checkVersion(table, current, object.metadata);
        return store.replace(table, current, structuredClone(object));
      }),
  } as unknown as LeaderElectionOptions["client"];
  return { state, client };
}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    const code = {
      NotFound: "NOT_FOUND",
      AlreadyExists: "ALREADY_EXISTS",
      Conflict: "CONFLICT",
    } as const;
    throw new SignetError(code[error.status.reason as keyof typeof code], error.message);
  }
}

interface Replica {
  readonly candidate: Candidate;
  readonly state: { up: boolean; loseAnswers: boolean; delayMs: number };
  /** Added to what this replica takes for the time. */
  offset: number;
}

function startReplica(store: ApiStore, clock: Clock, identity: string): Replica {
  const { state, client } = link(store, clock);
  const own: Clock = {
    now: () => clock.now() + replica.offset,
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
  const replica = { state, offset: 0 } as {
    state: typeof state;
    offset: number;
    candidate: Candidate;
  };
  replica.candidate = runElector(identity, { client, clock: own });
  return replica;
}

const STEPS = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ advance: fc.integer({ min: 100, max: 6000 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        who: fc.nat(2),
        up: fc.boolean(),
        loseAnswers: fc.boolean(),
        delayMs: fc.constantFrom(0, 0, 500, 4000),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ who: fc.nat(2), jump: fc.integer({ min: -60_000, max: 60_000 }) }),
    },
  ),
  { maxLength: 40 },
);

it("never has two leaders, whatever breaks and whatever the clocks say, and always finds one again", async () => {
  await fc.assert(
    fc.asyncProperty(STEPS, async (steps) => {
      const clock = manualClock(1_700_000_000_000);
      const store = new ApiStore();
      store.define(LEASES, false);
      const replicas = ["one", "two", "three"].map((name) => startReplica(store, clock, name));
      let most = 0;
      const pass = async (ms: number): Promise<void> => {
        for (let left = ms; left > 0; left -= 100) {
          await turn();
          await clock.advance(Math.min(left, 100));
          most = Math.max(most, replicas.filter(({ candidate }) => candidate.working()).length);
        }
      };
      for (const step of steps) {
        if ("advance" in step) await pass(step.advance);
        else if ("jump" in step) replicas[step.who]!.offset += step.jump;
        else Object.assign(replicas[step.who]!.state, step);
      }
      expect(most).toBeLessThanOrEqual(1);
      for (const { state } of replicas)
        Object.assign(state, { up: true, loseAnswers: false, delayMs: 0 });
      await pass(40_000);
      expect(replicas.filter(({ candidate }) => candidate.election.isLeader())).toHaveLength(1);
      expect(most).toBe(1);
      await Promise.all(replicas.map(({ candidate }) => candidate.election.stop()));
      expect(clock.sleeping).toBe(0);
    }),
    { numRuns: 60 },
  );
});

function alone(options: Partial<LeaderElectionOptions> = {}) {
  const clock = manualClock(1_700_000_000_000);
  const store = new ApiStore();
  store.define(LEASES, false);
  const { client, state } = link(store, clock);
  const candidate = runElector("one", { client, clock, ...options });
  cleanups.push(() => candidate.election.stop());
  return { clock, store, state, candidate };
}

describe("one elector", () => {
  it("keeps leading when renewals fail for less than renewMs", async () => {
    const { clock, state, candidate } = alone();
    await turn();
    state.up = false;
    await clock.advance(7000);
    await turn();
    state.up = true;
    await clock.advance(30_000);
    expect(candidate.terms).toHaveLength(1);
    expect(candidate.working()).toBe(true);
  });

  it("says at once that it does not lead when the process slept through the lease", async () => {
    const { clock, store, candidate } = alone();
    await turn();
    expect(candidate.election.isLeader()).toBe(true);
    const { client } = link(store, clock);
    let asleep = 0;
    const sleeper = runElector("two", {
      client,
      clock: { now: () => clock.now() + asleep, sleep: (ms, signal) => clock.sleep(ms, signal) },
    });
    cleanups.push(() => sleeper.election.stop());
    await candidate.election.stop();
    await clock.advance(3000);
    expect(sleeper.election.isLeader()).toBe(true);
    asleep = 60_000;
    expect(sleeper.election.isLeader()).toBe(false);
  });

  it("counts its time from before the request that renewed, not from the answer", async () => {
    const clock = manualClock(1_700_000_000_000);
    const store = new ApiStore();
    store.define(LEASES, false);
    const { client, state } = link(store, clock);
    state.delayMs = 3000;
    const candidate = runElector("one", { client, clock });
    cleanups.push(() => candidate.election.stop());
    for (let answer = 0; answer < 2; answer += 1) {
      await turn();
      await clock.advance(3000);
    }
    await turn();
    expect(candidate.working()).toBe(true);
    Object.assign(state, { up: false, delayMs: 0 });
    await clock.advance(7000);
    await turn();
    expect(candidate.working()).toBe(false);
  });

  it("stops at once when it sees that another one holds the lease", async () => {
    const { clock, store, candidate } = alone();
    await turn();
    const table = store.table(LEASES);
    const current = store.get(table, "signet-system", "signet") as Lease;
    const spec = { ...current.spec, holderIdentity: "thief", renewTime: microTime(clock.now()) };
    store.replace(table, current, structuredClone({ ...current, spec }));
    await clock.advance(2500);
    expect(candidate.working()).toBe(false);
    expect(candidate.election.holder()).toBe("thief");
  });

  it("releases the lease though a renewal that was broken off still arrives", async () => {
    const { clock, store, state, candidate } = alone();
    await turn();
    state.loseAnswers = true;
    const renewals = store.resourceVersion;
    await clock.advance(2500);
    state.loseAnswers = false;
    expect(store.resourceVersion).toBeGreaterThan(renewals);
    await candidate.election.stop();
    const lease = store.get(store.table(LEASES), "signet-system", "signet") as Lease;
    expect(lease.spec?.holderIdentity).toBe("");
  });

  it("waits for the work of its term before it releases the lease", async () => {
    const work = Promise.withResolvers<void>();
    const { store, candidate } = alone({ onStartedLeading: () => work.promise });
    const holder = () =>
      (store.get(store.table(LEASES), "signet-system", "signet") as Lease).spec?.holderIdentity;
    await turn();
    const stopped = candidate.election.stop();
    await turn();
    expect(holder()).toBe("one");
    work.resolve();
    await stopped;
    expect(holder()).toBe("");
  });

  it("makes the lease belong to its owner", async () => {
    const owner = { apiVersion: "apps/v1", kind: "Deployment", name: "signet", uid: "u" };
    const { store } = alone({ ownerReferences: [owner] });
    await turn();
    const lease = store.get(store.table(LEASES), "signet-system", "signet");
    expect(lease.metadata.ownerReferences).toEqual([owner]);
  });

  it("refuses times that allow two leaders", () => {
    expect(() => alone({ leaseMs: 10_000, renewMs: 10_000 })).toThrow(
      /retryMs < renewMs < leaseMs/,
    );
  });
});

const lease = (renewTime: string, spec: Lease["spec"] = {}): Lease => ({
  metadata: {
    name: "l",
    namespace: "n",
    uid: "u",
    resourceVersion: renewTime,
    creationTimestamp: "",
  },
  spec: { holderIdentity: "other", leaseDurationSeconds: 15, renewTime, ...spec },
});
const options = (now: number) => ({ now, longestStepMs: 5000 });

describe("the rules", () => {
  it("hold a lease for held as long as its holder promised, by the observer's own clock", () => {
    let seen = observeLease(undefined, lease("1999-01-01T00:00:00.000000Z"), options(0));
    for (let now = 2000; now < 15_000; now += 2000) {
      seen = observeLease(seen, lease("1999-01-01T00:00:00.000000Z"), options(now));
      expect(isHeldByOther(seen, "me", 1000)).toBe(true);
    }
    seen = observeLease(seen, lease("1999-01-01T00:00:00.000000Z"), options(15_000));
    expect(isHeldByOther(seen, "me", 1000)).toBe(false);
    expect(isHeldByOther(observeLease(seen, lease("later"), options(15_001)), "me", 1000)).toBe(
      true,
    );
  });

  it("do not count a jump of the clock as time", () => {
    const first = observeLease(undefined, lease("t"), options(0));
    const jumped = observeLease(first, lease("t"), options(3_600_000));
    expect(jumped.unchangedMs).toBe(5000);
    expect(observeLease(jumped, lease("t"), options(0)).unchangedMs).toBe(5000);
  });

  it("let anybody take a lease that was released", () => {
    const released = observeLease(undefined, lease("t", { holderIdentity: "" }), options(0));
    expect(isHeldByOther(released, "me", 15_000)).toBe(false);
  });

  it("count a change of holder, not a renewal", () => {
    const claim = { identity: "me", leaseMs: 15_000, now: Date.UTC(2026, 0, 2, 3, 4, 5, 6) };
    const taken = claimSpec({ holderIdentity: "other", leaseTransitions: 3 }, claim);
    expect(taken).toEqual({
      holderIdentity: "me",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-02T03:04:05.006000Z",
      renewTime: "2026-01-02T03:04:05.006000Z",
      leaseTransitions: 4,
    });
    const renewed = claimSpec(taken, { ...claim, now: claim.now + 2000 });
    expect(renewed).toEqual({ ...taken, renewTime: "2026-01-02T03:04:07.006000Z" });
  });
});
