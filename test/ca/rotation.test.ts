import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { activeAuthority, authoritiesOf, emptyJournal } from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import type { AuthorityKind, AuthorityStatus, KnownAuthorityRecord } from "../../src/ca/record.ts";
import {
  activateAuthority,
  decideRotation,
  prepareAuthority,
  pruneAuthorities,
} from "../../src/ca/rotation.ts";
import type { NewAuthority, RotationDecision, RotationPolicy } from "../../src/ca/rotation.ts";
import { DAY, HOUR, NOW, TRUST_DOMAIN } from "./oracle.ts";

const LIFE = 24 * HOUR;
type Policy = Pick<RotationPolicy, "pruneAfterMs" | "acknowledgedSequence"> & {
  /** The algorithm that a JWT authority should have; whatever it has when left out. */
  readonly algorithm?: "ES256" | "ES384";
};

/** Both kinds follow each other by the same rules. */
describe.each<AuthorityKind>(["x509", "jwt"])("%s authorities:", (kind) => {
  const other: AuthorityKind = kind === "x509" ? "jwt" : "x509";
  /** What rotation sees of an authority; keys and certificates play no part in it. */
  const material = (id: string, now: number, ttlMs = LIFE): NewAuthority => {
    const common = { id, privateKey: `key ${id}`, notAfter: now + ttlMs };
    return kind === "jwt"
      ? { kind, algorithm: "ES256", ...common }
      : {
          kind,
          keyType: "ec-p256",
          certificate: `certificate ${id}`,
          notBefore: now - 10_000,
          ...common,
        };
  };
  const decide = (
    journal: Journal,
    now: number,
    { algorithm, ...policy }: Policy = {},
  ): RotationDecision =>
    decideRotation(journal, now, {
      ...policy,
      kind,
      isOutdated: (record) =>
        algorithm !== undefined && record.kind === "jwt" && record.algorithm !== algorithm,
    });
  const activate = (journal: Journal, id: string, now: number): Journal =>
    activateAuthority(journal, { kind, id }, now);
  const prune = (journal: Journal, ids: readonly string[], now: number): Journal =>
    pruneAuthorities(journal, { kind, ids }, now);
  const records = (journal: Journal, status?: AuthorityStatus): KnownAuthorityRecord[] =>
    authoritiesOf(journal, kind, status);
  const signing = (journal: Journal): KnownAuthorityRecord | undefined =>
    activeAuthority(journal, kind);
  const started = (): Journal =>
    activate(prepareAuthority(emptyJournal(TRUST_DOMAIN), material("a", NOW), NOW), "a", NOW);
  const withNext = (at: number): Journal => prepareAuthority(started(), material("b", at), at);
  const statuses = (journal: Journal) =>
    Object.fromEntries(records(journal).map(({ id, status }) => [id, status]));

  describe("decideRotation", () => {
    it("prepares and at once activates the first authority", () => {
      const empty = emptyJournal(TRUST_DOMAIN);
      expect(decide(empty, NOW)).toMatchObject({ action: "prepare", at: NOW });
      const prepared = prepareAuthority(empty, material("a", NOW), NOW);
      expect(decide(prepared, NOW, { acknowledgedSequence: 0 })).toMatchObject({
        action: "activate",
        id: "a",
      });
    });

    it("does nothing before half of the lifetime, and says when to look again", () => {
      expect(decide(started(), NOW + LIFE / 2 - 1)).toMatchObject({
        action: "none",
        at: NOW + LIFE / 2,
      });
    });

    it("prepares at half of the lifetime", () => {
      expect(decide(started(), NOW + LIFE / 2)).toMatchObject({
        action: "prepare",
        at: NOW + LIFE / 2,
      });
    });

    it("activates at five sixths of the lifetime", () => {
      const journal = withNext(NOW + LIFE / 2);
      expect(decide(journal, NOW + 20 * HOUR - 1)).toMatchObject({
        action: "none",
        at: NOW + 20 * HOUR,
      });
      expect(decide(journal, NOW + 20 * HOUR)).toMatchObject({ action: "activate", id: "b" });
    });

    it("activates only what every consumer has acknowledged", () => {
      const journal = withNext(NOW + LIFE / 2);
      const at = NOW + 20 * HOUR;
      expect(decide(journal, at, { acknowledgedSequence: 1 })).toMatchObject({
        action: "none",
        at: NOW + 22 * HOUR,
      });
      expect(decide(journal, at, { acknowledgedSequence: 2 })).toMatchObject({
        action: "activate",
        id: "b",
      });
    });

    it("activates at eleven twelfths of the lifetime though someone has not acknowledged", () => {
      const decision = decide(withNext(NOW + LIFE / 2), NOW + 22 * HOUR, {
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
      expect(decide(journal, NOW + 20 * HOUR)).toMatchObject({
        action: "none",
        at: NOW + 21.5 * HOUR,
      });
      expect(decide(withNext(NOW + 23 * HOUR), NOW + 23 * HOUR)).toMatchObject({
        action: "activate",
      });
    });

    it("makes a new authority when the active one and the prepared one have expired", () => {
      const late = NOW + 10 * DAY;
      const journal = withNext(NOW + LIFE / 2);
      expect(decide(journal, late)).toMatchObject({
        action: "prepare",
        reason: expect.stringContaining("expired"),
      });
      const again = prepareAuthority(journal, material("c", late), late);
      expect(decide(again, late)).toMatchObject({ action: "activate", id: "c" });
      expect(statuses(activate(again, "c", late))).toEqual({
        a: "old",
        b: "old",
        c: "active",
      });
    });

    it("replaces a prepared authority that expires before it is needed", () => {
      const at = NOW + LIFE / 2;
      const journal = prepareAuthority(started(), material("b", at, HOUR), at);
      expect(decide(journal, at)).toMatchObject({ action: "none", at: at + HOUR });
      expect(decide(journal, at + HOUR)).toMatchObject({ action: "prepare" });
    });

    it("prunes an old authority a day after it expired, or as long as the policy says", () => {
      const end = NOW + LIFE;
      const next = prepareAuthority(started(), material("b", NOW, 90 * DAY), NOW);
      const journal = activate(next, "b", NOW + 20 * HOUR);
      const prune = { action: "prune", ids: ["a"] };
      expect(decide(journal, end, { pruneAfterMs: 0 })).toMatchObject({
        action: "none",
        at: end + 1,
      });
      expect(decide(journal, end + 1, { pruneAfterMs: 0 })).toMatchObject(prune);
      expect(decide(journal, end + DAY)).toMatchObject({ action: "none", at: end + DAY + 1 });
      expect(decide(journal, end + DAY + 1)).toMatchObject(prune);
    });
  });

  describe.runIf(kind === "x509")("an authority whose maker's clock ran an hour ahead", () => {
    it("is succeeded at once: nobody takes what it signs", () => {
      expect(decide(started(), NOW - HOUR)).toMatchObject({ action: "prepare", at: NOW - HOUR });
      const next = prepareAuthority(started(), material("b", NOW - HOUR), NOW - HOUR);
      expect(decide(next, NOW - HOUR)).toMatchObject({ action: "activate", id: "b" });
      expect(decide(activate(next, "b", NOW - HOUR), NOW - HOUR)).toMatchObject({ action: "none" });
    });

    it("is not activated", () => {
      const journal = withNext(NOW + LIFE + HOUR);
      expect(decide(journal, NOW + LIFE)).toMatchObject({ action: "prepare" });
    });

    it("is used when it is only a minute", () => {
      expect(decide(started(), NOW - 70_000)).toMatchObject({ action: "none" });
      expect(decide(started(), NOW - 70_001)).toMatchObject({ action: "prepare" });
    });
  });

  describe.runIf(kind === "jwt")("an authority of another algorithm than is configured", () => {
    const wanted = { algorithm: "ES384" } as const;
    const es384 = (id: string, at: number): NewAuthority => ({
      kind: "jwt",
      id,
      algorithm: "ES384",
      privateKey: id,
      notAfter: at + LIFE,
    });

    it("is succeeded at once, and as soon as the bundle has spread", () => {
      const at = NOW + HOUR;
      expect(decide(started(), at, wanted)).toMatchObject({ action: "prepare" });
      const journal = prepareAuthority(started(), es384("b", at), at);
      expect(decide(journal, at, wanted)).toMatchObject({ action: "none", at: at + LIFE / 12 });
      const due = { action: "activate", id: "b" };
      expect(decide(journal, at + LIFE / 12, wanted)).toMatchObject(due);
      const acknowledged = { ...wanted, acknowledgedSequence: 2 };
      expect(decide(journal, at, acknowledged)).toMatchObject(due);
      expect(decide(journal, at, { ...wanted, acknowledgedSequence: 1 })).toMatchObject({
        action: "none",
        at: NOW + 22 * HOUR,
      });
      expect(decide(activate(journal, "b", at), at + 2 * HOUR, wanted)).toMatchObject({
        action: "none",
      });
    });

    it("is not activated, even when it was prepared before the change", () => {
      const at = NOW + LIFE / 2;
      const journal = withNext(at);
      expect(decide(journal, at, wanted)).toMatchObject({ action: "prepare" });
      const replaced = prepareAuthority(journal, es384("c", at), at);
      expect(statuses(replaced)).toEqual({ a: "active", b: "old", c: "prepared" });
      expect(decide(replaced, at + LIFE / 12, wanted)).toMatchObject({
        action: "activate",
        id: "c",
      });
    });
  });

  describe("the steps of rotation", () => {
    it("never change the journal they are given", () => {
      const journal = withNext(NOW + LIFE / 2);
      const before = structuredClone(journal);
      prepareAuthority(journal, material("c", NOW), NOW);
      prune(activate(journal, "b", NOW), ["a"], NOW + 9 * DAY);
      expect(journal).toEqual(before);
    });

    it("record when and in which bundle an authority came, and when it took over", () => {
      const [, next] = records(activate(withNext(NOW + 5), "b", NOW + 7));
      expect(next).toMatchObject({
        kind,
        sequence: 2,
        preparedAt: NOW + 5,
        activatedAt: NOW + 7,
        status: "active",
      });
    });

    it("leave authorities of other kinds alone", () => {
      const others = [
        { kind: other, id: "a", status: "prepared" },
        { kind: "wit", id: "a", status: "active" },
      ];
      const journal = { ...started(), authorities: [...started().authorities, ...others] };
      const rotated = activate(prepareAuthority(journal, material("b", NOW), NOW), "b", NOW);
      const kept = prune(rotated, ["a"], NOW + 9 * DAY).authorities;
      expect(kept).toEqual(expect.arrayContaining(others));
    });

    it("refuse to prepare one authority twice", () => {
      expect(() => prepareAuthority(started(), material("a", NOW), NOW)).toThrow(
        expect.objectContaining({ code: "ALREADY_EXISTS" }),
      );
    });

    it.each(["a", "x"])("refuse to activate %s, which is not prepared", (id) => {
      expect(() => activate(started(), id, NOW)).toThrow(
        expect.objectContaining({ code: "FAILED_PRECONDITION" }),
      );
    });

    it("refuse to prune what is active or has not expired", () => {
      const refused = expect.objectContaining({ code: "FAILED_PRECONDITION" });
      expect(() => prune(started(), ["a"], NOW + 9 * DAY)).toThrow(refused);
      const journal = activate(withNext(NOW), "b", NOW);
      expect(() => prune(journal, ["a"], NOW + LIFE)).toThrow(refused);
      expect(() => prune(journal, ["a"], NOW + LIFE + 1)).not.toThrow();
    });

    it("do not move the sequence when nothing is pruned", () => {
      expect(prune(started(), ["x"], NOW)).toEqual(started());
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
    { now, at, policy }: { now: number; at: number; policy: Policy },
  ): void {
    const actions = [now, at - 1, at].map((time) => decide(journal, time, policy).action);
    expect(actions.map((action) => action === "none")).toEqual([true, true, false]);
  }

  /** A simulated operator that wakes when it was told to, sometimes late, and applies what is due. */
  function simulate(
    wakes: readonly Wake[],
    { ttlMs, policy, counts }: { ttlMs: number; policy: Policy; counts: boolean },
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
        const decision = decide(journal, now, current);
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
        } else if (decision.action === "activate") journal = activate(journal, decision.id, now);
        else journal = prune(journal, decision.ids, now);
        check({ before, after: journal, action: decision.action, now, acknowledged });
      }
      expect(records(journal, "active")).toHaveLength(1);
      expect(records(journal, "prepared").length).toBeLessThanOrEqual(1);
      // Between wakes that come in time there is always someone who can sign.
      expect(signing(journal)!.notAfter).toBeGreaterThan(wake.late === 0 ? now - 1 : 0);
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
  const bundleOf = (journal: Journal) => records(journal).map(({ id }) => id);

  describe("rotation over time, whatever wakes late or never answers", () => {
    it("keeps exactly one authority active and comes to rest at each wake", () => {
      const property = fc.property(wakes, settings, (some, setting) => {
        simulate(some, setting, ({ before, after }) => {
          const active = records(after, "active").length;
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
            const { id, sequence } = signing(after)!;
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
          const everSigned = new Map<string, KnownAuthorityRecord>();
          simulate(some, setting, ({ after, now }) => {
            const active = signing(after);
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
            const outgoing = signing(before);
            if (action !== "activate" || outgoing === undefined) return;
            const next = signing(after)!;
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
});
