import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { AgentEvent } from "../../src/agent/events.ts";
import { fingerprint } from "../../src/agent/workload.ts";
import { viewOf } from "../../src/agent/workload-view.ts";
import type { Volume } from "../../src/csi/ports.ts";
import { pod, volumeOf } from "./fixture.ts";
import { BACKDATING_MS, seeded } from "./simulation.ts";
import { heal, makeSigners, play, startWorld } from "./workloads-model.ts";
import type { Step, World } from "./workloads-model.ts";
import type { ModelEntry } from "./workloads-operator.ts";

const [P, Q] = [pod("p"), pod("q")];
/** Two volumes of one pod, and one of another. */
const VOLUMES: readonly Volume[] = [
  { ...volumeOf("kept", P), jwtAudiences: ["x", "y"] },
  { ...volumeOf("removed", P), jwtAudiences: ["x"], removal: "remove" },
  volumeOf("other", Q),
];
const FOREIGN = ["one.test", "two.test"];
const FIRST: readonly ModelEntry[] = [
  { entryId: "a", revision: "r1", federatesWith: ["one.test"] },
];
/** What was refused is tried again within six minutes. */
const CALM_MS = 400_000;
/** What changes when nothing fails is there within this time. */
const SOON_MS = 10_000;
/** The same ones in every run; other seeds are for whoever changes the code. */
const RUNS = { numRuns: 100, seed: 1 };
/** Lifetimes that are watched in the end, and how often in each. */
const [LIVES, LOOKS] = [2, 5];

const some = fc.constantFrom;
const is = <K extends Step["kind"]>(kind: K) => fc.constant(kind);
const entries = fc.subarray(["a", "b"]).chain((names) =>
  fc.tuple(
    ...names.map((entryId) =>
      fc.record({
        entryId: fc.constant(entryId),
        revision: some("r1", "r1", "r2"),
        federatesWith: fc.subarray(FOREIGN),
      }),
    ),
  ),
);
const volume = some(...VOLUMES.map(({ id }) => id));
const lagMs = some(0, 0, 900, 4000);

/** What may happen on any day. */
const change = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: is("entries"), pod: some(P.uid, P.uid, Q.uid), entries }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: is("adopt"),
      volume,
      what: some("shown", "nothing", "new", "late"),
    }),
  },
  fc.record({ kind: is("rotate") }),
  fc.record({ kind: is("foreign"), name: some(...FOREIGN), isKnown: fc.boolean() }),
  fc.record({ kind: is("forget"), volume }),
);

/** What may go wrong, and the time that it has. */
const trouble = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: is("advance"), ms: some(1, 500, 5000, 30_000, 300_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: is("session"), phase: some("lost", "begun", "synced") }),
  },
  fc.record({
    kind: is("refuse"),
    code: some(undefined, "UNAVAILABLE", "POD_GONE", "NO_IDENTITY"),
  }),
  fc.record({
    kind: is("refuse tokens"),
    code: some("UNAVAILABLE", "PERMISSION_DENIED"),
    audiences: fc.subarray(["x", "y"]),
  }),
  {
    weight: 2,
    arbitrary: fc.record({ kind: is("lag"), beforeMs: lagMs, afterMs: lagMs }),
  },
  fc.record({ kind: is("disk"), isFull: fc.boolean(), slowMs: some(0, 700) }),
  fc.record({ kind: is("unmount"), volume }),
  fc.record({ kind: is("set clock"), aheadMs: some(0, -600_000, 90_000, 900_000) }),
);

const stories = fc.record({
  steps: fc.array(fc.oneof(change, trouble), { maxLength: 25, size: "max" }),
  changes: fc.array(change, { maxLength: 4 }),
  ttlMs: some(60_000, 1_800_000),
  seed: fc.nat(),
});

/** What all sequences together must have come to. */
const LEAST: Partial<Record<AgentEvent | "cleared" | "entitled" | "without" | "absent", number>> = {
  ...{ renewed: 1000, "renewal-failed": 20, "tokens-renewed": 1000, "tokens-failed": 5 },
  ...{ written: 2000, "write-failed": 20, cleared: 1 },
  ...{ entitled: 60, without: 5, absent: 5 },
};

/** What a volume may come to once everything has healed. */
function outcomeOf({ disk, operator }: World, volume: Volume): "entitled" | "without" | "absent" {
  if (!disk.isMounted(volume.id)) return "absent";
  return operator.entriesOf(volume.pod.uid).length > 0 ? "entitled" : "without";
}

function expectAsItShouldBe(world: World, volume: Volume): void {
  const outcome = outcomeOf(world, volume);
  if (outcome === "absent") expectForgotten(world, volume);
  else if (outcome === "without") expectWithoutIdentity(world, volume);
  else {
    expectEntitled(world, volume);
    expectTokens(world, volume);
    expectTrust(world, volume);
  }
  expect(world.told.get(volume.id), "subscribers know").toBe(world.all.get(volume.id));
}

function expectForgotten({ all, disk }: World, { id }: Volume): void {
  expect(all.get(id)).toBeUndefined();
  expect(disk.shown.has(id)).toBe(false);
}

function expectWithoutIdentity({ all, disk, clock, left }: World, volume: Volume): void {
  const { state } = viewOf(all.get(volume.id), undefined, clock.now());
  expect(state.status).toBe("none");
  expect(left.has(volume.pod.uid), "who left is told").toBe(true);
  if (volume.removal === "remove") expect(disk.shown.has(volume.id)).toBe(false);
}

function expectEntitled({ all, disk, operator, clock }: World, { id, pod }: Volume): void {
  const workload = all.get(id);
  const shown = disk.shown.get(id);
  expect(shown, "files follow what is held").toBe(workload?.held);
  expect(viewOf(workload, undefined, clock.now()).state.status).toBe("entitled");
  expect(workload).toMatchObject({ gone: false, trouble: undefined, failedWrites: 0 });
  expect(fingerprint(shown?.svids ?? [])).toBe(fingerprint(operator.entriesOf(pod.uid)));
  for (const { notAfter } of shown?.svids ?? []) expect(notAfter).toBeGreaterThan(clock.now());
}

/** One unexpired token of the default identity for each audience. */
function expectTokens({ disk, clock }: World, { id, jwtAudiences }: Volume): void {
  const { svids = [], tokens = [] } = disk.shown.get(id) ?? {};
  const spiffeId = svids[0]?.spiffeId;
  const named = tokens.map((token) => ({ audience: token.audience, spiffeId: token.spiffeId }));
  expect(named).toEqual(jwtAudiences.map((audience) => ({ audience, spiffeId })));
  for (const { expiresAt } of tokens) expect(expiresAt).toBeGreaterThan(clock.now());
}

/** All is signed by who signs now, and the bundles are those that the operator names. */
function expectTrust(world: World, { id }: Volume): void {
  const { disk, operator } = world;
  const shown = disk.shown.get(id);
  if (!shown) return;
  expect(operator.isCurrent(shown), "SVIDs and tokens verify").toBe(true);
  expect(shown.bundle).toEqual(operator.bundle());
  const names = new Set(shown.svids.flatMap(({ federatesWith }) => federatesWith));
  const known = [...names].toSorted().flatMap((name) => operator.foreign.get(name) ?? []);
  const due = shown.federatedBundles.filter(
    ({ trustDomain }) => !mayLinger(world, id, trustDomain),
  );
  expect(due).toEqual(known);
}

/** An answer from before the end of a foreign bundle that comes after it brings it back, until the next one. */
function mayLinger({ disk, operator, adoptedAt }: World, id: string, name: string): boolean {
  const issuedAt = (disk.shown.get(id)?.svids[0]?.notBefore ?? 0) + BACKDATING_MS;
  const droppedAt = operator.dropped.get(name) ?? 0;
  if (operator.foreign.has(name) || issuedAt > droppedAt) return false;
  return droppedAt <= (adoptedAt.get(id) ?? 0) || droppedAt - issuedAt <= SOON_MS;
}

/** How often something was done for each volume. */
function doneIn({ operator, disk }: World) {
  const copy = { renewals: operator.renewals, tokens: operator.tokens, writes: disk.writes };
  const before = structuredClone(copy);
  const since = (id: string) => (what: keyof typeof copy) =>
    (copy[what].get(id) ?? 0) - (before[what].get(id) ?? 0);
  return { since };
}

/** Renews what lives, before it is over and not much oftener, and does nothing for the rest. */
function expectMeasure(world: World, volume: Volume, done: (what: Counted) => number): void {
  const [renewals, tokens, writes] = [done("renewals"), done("tokens"), done("writes")];
  const isEntitled = outcomeOf(world, volume) === "entitled";
  expect(renewals + tokens + writes > 0, "only what lives costs").toBe(isEntitled);
  if (!isEntitled) return;
  expect(renewals).toBeGreaterThanOrEqual(LIVES);
  expect(renewals).toBeLessThanOrEqual(10 * LIVES);
  // A token lives half as long.
  expect(tokens).toBeGreaterThanOrEqual(volume.jwtAudiences.length > 0 ? 2 * LIVES : 0);
  expect(tokens).toBeLessThanOrEqual(volume.jwtAudiences.length > 0 ? 10 * LIVES : 0);
  expect(writes).toBeLessThanOrEqual(renewals + tokens);
}
type Counted = Parameters<ReturnType<ReturnType<typeof doneIn>["since"]>>[0];

type Story = typeof stories extends fc.Arbitrary<infer T> ? T : never;
type Change = Story["changes"][number];

const foreign = (isKnown: boolean) => ({ kind: "foreign", name: "one.test", isKnown }) as const;
const nowHas = (...entryIds: string[]): Change => ({
  kind: "entries",
  pod: P.uid,
  entries: entryIds.map((entryId) => ({ entryId, revision: "r1", federatesWith: [] })),
});
const lag = (afterMs: 900 | 4000) => ({ kind: "lag", beforeMs: 0, afterMs }) as const;
const rotate: Change = { kind: "rotate" };
const adopt = (what: "shown" | "new"): Change => ({ kind: "adopt", volume: "kept", what });
/** What needs more luck than one run has. */
const ONCE: readonly Pick<Story, "steps" | "changes">[] = [
  { steps: [foreign(true)], changes: [foreign(false)] },
  { steps: [lag(4000), nowHas("b"), nowHas("c")], changes: [] },
  { steps: [lag(900), rotate, rotate], changes: [] },
  { steps: [nowHas("a")], changes: [nowHas(), rotate, nowHas("a")] },
  { steps: [], changes: [nowHas(), rotate, adopt("shown"), nowHas("a", "b")] },
  {
    steps: [
      { kind: "session", phase: "lost" },
      nowHas("b"),
      adopt("new"),
      rotate,
      { kind: "advance", ms: 5000 },
    ],
    changes: [],
  },
  {
    steps: [
      { kind: "disk", isFull: false, slowMs: 700 },
      { kind: "set clock", aheadMs: 900_000 },
      rotate,
      { kind: "advance", ms: 500 },
      {
        kind: "entries",
        pod: Q.uid,
        entries: [{ entryId: "b", revision: "r1", federatesWith: [] }],
      },
      { kind: "set clock", aheadMs: 0 },
    ],
    changes: [],
  },
];
const examples = ONCE.map((story): [Story] => [{ ...story, ttlMs: 1_800_000, seed: 1 }]);

async function expectAllWell(world: World, inMs: number): Promise<void> {
  await world.advance(inMs);
  for (const volume of VOLUMES) expectAsItShouldBe(world, volume);
  expect(world.sleeping(), "one timer for each kind of work").toBe(3);
}

test("whatever entries, failures and clocks did, a pod shows in the end what its entries say, and renews it", async () => {
  const signers = await makeSigners();
  const seen = new Map<string, number>();
  const add = (what: string, by: number): void => void seen.set(what, (seen.get(what) ?? 0) + by);
  const story = fc.asyncProperty(stories, async ({ steps, changes, ttlMs, seed }) => {
    const random = seeded(seed);
    const world = startWorld({ volumes: VOLUMES, entries: FIRST, signers, ttlMs, random });
    for (const step of steps) await play(world, step);
    heal(world);
    await expectAllWell(world, CALM_MS);
    for (const step of changes) await play(world, step);
    await expectAllWell(world, SOON_MS);
    const { since } = doneIn(world);
    for (let look = 0; look < LIVES * LOOKS; look++) await expectAllWell(world, ttlMs / LOOKS);
    for (const volume of VOLUMES) expectMeasure(world, volume, since(volume.id));
    expect(world.disk.wrongs).toEqual([]);
    await world.end();
    expect(world.sleeping(), "no timer is left").toBe(0);
    for (const volume of VOLUMES) add(outcomeOf(world, volume), 1);
    for (const [event, count] of world.counts) add(event, count);
    add("cleared", world.disk.cleared.length);
  });
  await fc.assert(story, { ...RUNS, examples });
  for (const [what, least] of Object.entries(LEAST)) {
    expect(seen.get(what), what).toBeGreaterThan(least);
  }
}, 120_000);
