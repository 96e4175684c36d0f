import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { activeX509Authority, emptyJournal, x509Authorities } from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import type { X509AuthorityMaterial, X509AuthorityRecord } from "../../src/ca/record.ts";
import {
  activateAuthority,
  decideRotation,
  nextRotationAt,
  prepareAuthority,
  pruneAuthorities,
} from "../../src/ca/rotation.ts";
import type { RotationPolicy } from "../../src/ca/rotation.ts";
import { DAY, HOUR, NOW, TRUST_DOMAIN } from "./oracle.ts";

const LIFE = 24 * HOUR;

/** What rotation sees of an authority; keys and certificates play no part in it. */
const material = (id: string, now: number, ttlMs = LIFE): X509AuthorityMaterial => ({
  id,
  keyType: "ec-p256",
  certificate: `certificate ${id}`,
  privateKey: `key ${id}`,
  notBefore: now - 10_000,
  notAfter: now + ttlMs,
});
const started = (): Journal =>
  activateAuthority(
    prepareAuthority(emptyJournal(TRUST_DOMAIN), material("a", NOW), NOW),
    "a",
    NOW,
  );
const withNext = (at: number): Journal => prepareAuthority(started(), material("b", at), at);
const statuses = (journal: Journal) =>
  Object.fromEntries(x509Authorities(journal).map(({ id, status }) => [id, status]));

describe("decideRotation", () => {
  it("prepares and at once activates the first authority", () => {
    const empty = emptyJournal(TRUST_DOMAIN);
    expect(decideRotation(empty, NOW)).toMatchObject({ action: "prepare", at: NOW });
    const prepared = prepareAuthority(empty, material("a", NOW), NOW);
    expect(decideRotation(prepared, NOW, { acknowledgedSequence: 0 })).toMatchObject({
      action: "activate",
      id: "a",
    });
  });

  it("does nothing before half of the lifetime, and says when to look again", () => {
    expect(decideRotation(started(), NOW + LIFE / 2 - 1)).toMatchObject({
      action: "none",
      at: NOW + LIFE / 2,
    });
    expect(nextRotationAt(started(), NOW)).toBe(NOW + LIFE / 2);
  });

  it("prepares at half of the lifetime", () => {
    expect(decideRotation(started(), NOW + LIFE / 2)).toMatchObject({
      action: "prepare",
      at: NOW + LIFE / 2,
    });
  });

  it("activates at five sixths of the lifetime", () => {
    const journal = withNext(NOW + LIFE / 2);
    expect(decideRotation(journal, NOW + 20 * HOUR - 1)).toMatchObject({
      action: "none",
      at: NOW + 20 * HOUR,
    });
    expect(decideRotation(journal, NOW + 20 * HOUR)).toMatchObject({ action: "activate", id: "b" });
  });

  it("activates only what every consumer has acknowledged", () => {
    const journal = withNext(NOW + LIFE / 2);
    const at = NOW + 20 * HOUR;
    expect(decideRotation(journal, at, { acknowledgedSequence: 1 })).toMatchObject({
      action: "none",
      at: NOW + 22 * HOUR,
    });
    expect(decideRotation(journal, at, { acknowledgedSequence: 2 })).toMatchObject({
      action: "activate",
      id: "b",
    });
  });

  it("activates at eleven twelfths of the lifetime though someone has not acknowledged", () => {
    const decision = decideRotation(withNext(NOW + LIFE / 2), NOW + 22 * HOUR, {
      acknowledgedSequence: 1,
    });
    expect(decision).toMatchObject({
      action: "activate",
      id: "b",
      reason: expect.stringContaining("not all consumers"),
    });
  });

  it("leaves a late authority a twelfth of the lifetime to spread when nobody counts acknowledgements", () => {
    const journal = withNext(NOW + 19.5 * HOUR);
    expect(decideRotation(journal, NOW + 20 * HOUR)).toMatchObject({
      action: "none",
      at: NOW + 21.5 * HOUR,
    });
    expect(decideRotation(withNext(NOW + 23 * HOUR), NOW + 23 * HOUR)).toMatchObject({
      action: "activate",
    });
  });

  it("makes a new authority when the active one and the prepared one have expired", () => {
    const late = NOW + 10 * DAY;
    const journal = withNext(NOW + LIFE / 2);
    expect(decideRotation(journal, late)).toMatchObject({
      action: "prepare",
      reason: expect.stringContaining("expired"),
    });
    const again = prepareAuthority(journal, material("c", late), late);
    expect(decideRotation(again, late)).toMatchObject({ action: "activate", id: "c" });
    expect(statuses(activateAuthority(again, "c", late))).toEqual({
      a: "old",
      b: "old",
      c: "active",
    });
  });

  it("replaces a prepared authority that expires before it is needed", () => {
    const at = NOW + LIFE / 2;
    const journal = prepareAuthority(started(), material("b", at, HOUR), at);
    expect(decideRotation(journal, at)).toMatchObject({ action: "none", at: at + HOUR });
    expect(decideRotation(journal, at + HOUR)).toMatchObject({ action: "prepare" });
  });

  it("prunes an old authority a day after it expired, or as long as the policy says", () => {
    const end = NOW + LIFE;
    const next = prepareAuthority(started(), material("b", NOW, 90 * DAY), NOW);
    const journal = activateAuthority(next, "b", NOW + 20 * HOUR);
    const prune = { action: "prune", ids: ["a"] };
    expect(decideRotation(journal, end, { pruneAfterMs: 0 })).toMatchObject({
      action: "none",
      at: end + 1,
    });
    expect(decideRotation(journal, end + 1, { pruneAfterMs: 0 })).toMatchObject(prune);
    expect(decideRotation(journal, end + DAY)).toMatchObject({ action: "none", at: end + DAY + 1 });
    expect(decideRotation(journal, end + DAY + 1)).toMatchObject(prune);
  });
});

describe("the steps of rotation", () => {
  it("never change the journal they are given", () => {
    const journal = withNext(NOW + LIFE / 2);
    const before = structuredClone(journal);
    prepareAuthority(journal, material("c", NOW), NOW);
    pruneAuthorities(activateAuthority(journal, "b", NOW), ["a"], NOW + 9 * DAY);
    expect(journal).toEqual(before);
  });

  it("record when and in which bundle an authority came, and when it took over", () => {
    const [, next] = x509Authorities(activateAuthority(withNext(NOW + 5), "b", NOW + 7));
    expect(next).toMatchObject({
      kind: "x509",
      sequence: 2,
      preparedAt: NOW + 5,
      activatedAt: NOW + 7,
      status: "active",
    });
  });

  it("leave authorities of other kinds alone", () => {
    const jwt = { kind: "jwt", id: "a", status: "prepared" };
    const journal = { ...started(), authorities: [...started().authorities, jwt] };
    const rotated = activateAuthority(prepareAuthority(journal, material("b", NOW), NOW), "b", NOW);
    expect(pruneAuthorities(rotated, ["a"], NOW + 9 * DAY).authorities).toContainEqual(jwt);
  });

  it("refuse to prepare one authority twice", () => {
    expect(() => prepareAuthority(started(), material("a", NOW), NOW)).toThrow(
      expect.objectContaining({ code: "ALREADY_EXISTS" }),
    );
  });

  it.each(["a", "x"])("refuse to activate %s, which is not prepared", (id) => {
    expect(() => activateAuthority(started(), id, NOW)).toThrow(
      expect.objectContaining({ code: "FAILED_PRECONDITION" }),
    );
  });

  it("refuse to prune what is active or has not expired", () => {
    const refused = expect.objectContaining({ code: "FAILED_PRECONDITION" });
    expect(() => pruneAuthorities(started(), ["a"], NOW + 9 * DAY)).toThrow(refused);
    const journal = activateAuthority(withNext(NOW), "b", NOW);
    expect(() => pruneAuthorities(journal, ["a"], NOW + LIFE)).toThrow(refused);
    expect(() => pruneAuthorities(journal, ["a"], NOW + LIFE + 1)).not.toThrow();
  });

  it("do not move the sequence when nothing is pruned", () => {
    expect(pruneAuthorities(started(), ["x"], NOW)).toEqual(started());
  });
});

interface Wake {
  readonly late: number;
  readonly acknowledges: boolean;
  readonly ttlPart: number;
}

/** At rest, `at` is the very first moment at which something is due. */
function checkRest(
  journal: Journal,
  { now, at, policy }: { now: number; at: number; policy: RotationPolicy },
): void {
  const actions = [now, at - 1, at].map((time) => decideRotation(journal, time, policy).action);
  expect(actions.map((action) => action === "none")).toEqual([true, true, false]);
}

/** A simulated operator that wakes when it was told to, sometimes late, and applies what is due. */
function simulate(
  wakes: readonly Wake[],
  { ttlMs, policy, counts }: { ttlMs: number; policy: RotationPolicy; counts: boolean },
  check: (step: {
    before: Journal;
    after: Journal;
    action: string;
    now: number;
    acknowledged: number;
  }) => void,
): void {
  let journal = emptyJournal(TRUST_DOMAIN);
  let now = NOW;
  let acknowledged = 0;
  let made = 0;
  for (const wake of wakes) {
    if (wake.acknowledges) acknowledged = journal.sequence;
    const current = counts ? { ...policy, acknowledgedSequence: acknowledged } : policy;
    for (let step = 0; ; step++) {
      expect(step).toBeLessThan(50);
      const decision = decideRotation(journal, now, current);
      if (decision.action === "none") {
        checkRest(journal, { now, at: decision.at, policy: current });
        now = decision.at + Math.floor(wake.late * ttlMs);
        break;
      }
      expect(decision.at).toBeLessThanOrEqual(now);
      const before = journal;
      if (decision.action === "prepare") {
        journal = prepareAuthority(
          journal,
          material(`n${made++}`, now, Math.ceil(ttlMs * wake.ttlPart)),
          now,
        );
      } else if (decision.action === "activate")
        journal = activateAuthority(journal, decision.id, now);
      else journal = pruneAuthorities(journal, decision.ids, now);
      check({ before, after: journal, action: decision.action, now, acknowledged });
    }
    expect(x509Authorities(journal, "active")).toHaveLength(1);
    expect(x509Authorities(journal, "prepared").length).toBeLessThanOrEqual(1);
    // Between wakes that come in time there is always someone who can sign.
    expect(activeX509Authority(journal)!.notAfter).toBeGreaterThan(wake.late === 0 ? now - 1 : 0);
  }
}

const wakes = fc.array(
  fc.record({
    late: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      fc.double({ min: 0, max: 3, noNaN: true }),
    ),
    acknowledges: fc.boolean(),
    ttlPart: fc.oneof(
      { weight: 3, arbitrary: fc.constant(1) },
      fc.double({ min: 0.1, max: 2, noNaN: true }),
    ),
  }),
  { minLength: 5, maxLength: 60 },
);
const settings = fc.record({
  ttlMs: fc.oneof(fc.integer({ min: 2000, max: 60_000 }), fc.constant(90 * DAY)),
  policy: fc.record({
    pruneAfterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2 * DAY })),
  }),
  counts: fc.boolean(),
});
const bundleOf = (journal: Journal) => x509Authorities(journal).map(({ id }) => id);

describe("rotation over time, whatever wakes late or never answers", () => {
  it("keeps exactly one authority active and comes to rest at each wake", () => {
    const property = fc.property(wakes, settings, (some, setting) => {
      simulate(some, setting, ({ before, after }) => {
        const active = x509Authorities(after, "active").length;
        const isFirstStep = before.authorities.length === 0;
        expect(active).toBe(isFirstStep ? 0 : 1);
      });
    });
    fc.assert(property, { numRuns: 300 });
  });

  it("publishes an authority before it activates it", () => {
    fc.assert(
      fc.property(wakes, settings, (some, setting) =>
        simulate(some, setting, ({ before, after, action }) => {
          if (action !== "activate") return;
          const { id, sequence } = activeX509Authority(after)!;
          expect(bundleOf(before)).toContain(id);
          expect(sequence).toBeLessThanOrEqual(before.sequence);
        }),
      ),
      { numRuns: 300 },
    );
  });

  it("never removes an authority while an SVID that it signed can be valid", () => {
    fc.assert(
      fc.property(wakes, settings, (some, setting) => {
        const everSigned = new Map<string, X509AuthorityRecord>();
        simulate(some, setting, ({ after, now }) => {
          const active = activeX509Authority(after);
          if (active) everSigned.set(active.id, active);
          const kept = new Set(bundleOf(after));
          for (const { id, notAfter } of everSigned.values())
            expect(kept.has(id) || now > notAfter).toBe(true);
        });
      }),
      { numRuns: 300 },
    );
  });

  it("moves the sequence by one exactly when the bundle changes", () => {
    fc.assert(
      fc.property(wakes, settings, (some, setting) =>
        simulate(some, setting, ({ before, after }) => {
          const changed = bundleOf(before).join() !== bundleOf(after).join();
          expect(after.sequence - before.sequence).toBe(changed ? 1 : 0);
        }),
      ),
      { numRuns: 300 },
    );
  });

  it("in time, activates nobody before all have acknowledged it, or eleven twelfths have passed", () => {
    fc.assert(
      fc.property(wakes, settings, (some, setting) => {
        const prompt = some.map((wake) => ({ ...wake, late: 0 }));
        simulate(prompt, setting, ({ before, after, action, now, acknowledged }) => {
          const outgoing = activeX509Authority(before);
          if (action !== "activate" || outgoing === undefined) return;
          const next = activeX509Authority(after)!;
          const life = outgoing.notAfter - outgoing.preparedAt;
          const known = setting.counts
            ? next.sequence <= acknowledged
            : now >= next.preparedAt + Math.floor(life / 12);
          expect(known || now >= Math.floor(outgoing.preparedAt + (life * 11) / 12)).toBe(true);
          expect(now).toBeGreaterThanOrEqual(Math.floor(outgoing.preparedAt + (life * 5) / 6));
        });
      }),
      { numRuns: 300 },
    );
  });
});
