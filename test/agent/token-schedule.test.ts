import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { FileToken, WorkloadIdentity } from "../../src/csi/ports.ts";
import {
  isSignedWithin,
  keyIdOf,
  nextTokensDue,
  tokensDue,
  tokensExpiry,
} from "../../src/agent/token-schedule.ts";
import { adopted, withoutEntries } from "../../src/agent/workload.ts";
import { scheduledTokens, withTokens } from "../../src/agent/workload-tokens.ts";
import { bundleOf, identityOf, pod, volumeOf } from "./fixture.ts";

const WEB = "spiffe://test.local/web";
const MINUTE = 60_000;
const volume = { ...volumeOf("vol", pod("pod")), jwtAudiences: ["a", "b"] };

const token = (audience: string, issuedAt: number, ttl = 5 * MINUTE): FileToken => ({
  audience,
  spiffeId: WEB,
  token: `${Buffer.from('{"kid":"k1"}').toString("base64url")}.e30.c2ln-${audience}-${issuedAt}`,
  issuedAt,
  expiresAt: issuedAt + ttl,
});

function identity(...tokens: FileToken[]): WorkloadIdentity {
  const svid = { spiffeId: WEB, entryId: "web", revision: "r1", chain: [], hint: "" };
  const validity = { notBefore: 0, notAfter: 86_400_000 };
  const bundle = { ...bundleOf([]), jwtAuthorities: [{ kid: "k1", kty: "EC" }] };
  return { ...identityOf([{ ...svid, ...validity, federatesWith: [] }]), bundle, tokens };
}

const ttls = fc.integer({ min: 10_000, max: 86_400_000 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("tokens are due at half of the first one's life ± 10 %", () => {
  fc.assert(
    fc.property(ttls, ttls, chance, (one, two, random) => {
      const held = identity(token("a", 0, one), token("b", 0, two));
      const due = tokensDue(held, { volume, now: 1, random: () => random });
      const half = Math.min(one, two) / 2;
      expect(due).toBeGreaterThanOrEqual(Math.floor(half * 0.9));
      expect(due).toBeLessThanOrEqual(Math.ceil(half * 1.1));
    }),
  );
});

test("tokens that came just now are never due at once, and leave time for three more tries", () => {
  const clocks = fc.integer({ min: -3_600_000, max: 3_600_000 });
  fc.assert(
    fc.property(ttls, clocks, chance, (ttl, now, random) => {
      const held = identity(token("a", 0, ttl), token("b", 0, ttl));
      const due = nextTokensDue(held, { volume, now, random: () => random });
      expect(due).toBeGreaterThanOrEqual(now + 1000);
      expect(due).toBeLessThan(Math.max(ttl, now + 1001 + ttl * 0.55));
    }),
  );
});

test("a token that is missing or of another identity is due now, and no audience never", () => {
  const moment = { now: 7, random: () => 0.5 };
  expect(tokensDue(identity(token("a", 0)), { volume, ...moment })).toBe(7);
  const old = { ...token("b", 0), spiffeId: "spiffe://test.local/old" };
  expect(tokensDue(identity(token("a", 0), old), { volume, ...moment })).toBe(7);
  const none = { ...volume, jwtAudiences: [] };
  expect(tokensDue(identity(), { volume: none, ...moment })).toBe(Infinity);
  expect(tokensExpiry([])).toBe(-Infinity);
});

test("a token that is missing or of another identity is due in a second, however long the others live", () => {
  const moment = { volume, now: 7, random: () => 0.5 };
  const other = { ...token("b", 0), spiffeId: "spiffe://test.local/old" };
  expect(nextTokensDue(identity(token("a", 0), other), moment)).toBe(1007);
  expect(nextTokensDue(identity(token("a", 0)), moment)).toBe(1007);
  expect(nextTokensDue(identity(), moment)).toBe(1007);
});

test("a token of a key that left the bundle is due now, and in a second when it came just now", () => {
  const moment = { volume, now: 7, random: () => 0.5 };
  const held = { ...identity(token("a", 0), token("b", 0)), bundle: bundleOf([]) };
  expect(tokensDue(held, moment)).toBe(7);
  expect(nextTokensDue(held, moment)).toBe(1007);
});

test("a kid is read from any text without a throw", () => {
  expect(keyIdOf(token("a", 0).token)).toBe("k1");
  fc.assert(fc.property(fc.string(), (text) => void keyIdOf(text)));
  for (const header of ["null", "[]", '{"kid":1}', "{"]) {
    expect(keyIdOf(`${Buffer.from(header).toString("base64url")}.a.b`)).toBeUndefined();
  }
  const bundle = { ...bundleOf([]), jwtAuthorities: [{ kid: "k1", kty: "EC" }] };
  expect(isSignedWithin(token("a", 0), bundle)).toBe(true);
  expect(isSignedWithin(token("a", 0), bundleOf([]))).toBe(false);
});

test("whatever fails and comes back, tokens are in the order of the audiences and none is lost", () => {
  const step = fc.record({
    came: fc.subarray(["a", "b"]),
    denied: fc.boolean(),
    after: fc.integer({ min: 0, max: 10 * MINUTE }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const at = (now: number) => ({ now, random: () => 0.5 });
      const held = identity(token("a", 0), token("b", 0));
      let workload = adopted(volume, held, { ...at(0), wanted: undefined });
      let now = 0;
      for (const { came, denied, after } of steps) {
        now += after;
        const failure = came.length === 2 ? undefined : denied ? "denied" : "failing";
        const tokens = came.map((audience) => token(audience, now));
        const before = workload;
        workload = withTokens(workload, { tokens, failure }, at(now));
        expect(workload.held?.tokens.map(({ audience }) => audience)).toEqual(["a", "b"]);
        expect(workload.tokensAt).toBeGreaterThan(now);
        expect(workload.tokensAt).toBeLessThan(now + 6 * MINUTE);
        expect(workload.renewAt).toBe(before.renewAt);
        expect(workload.tokenAttempt).toBe(failure === undefined ? 0 : before.tokenAttempt + 1);
        expect(workload.writeAt).toBe(came.length > 0 ? now : before.writeAt);
      }
    }),
  );
});

test("failures come back sooner than what is left of a token allows for three more", () => {
  const at = (now: number) => ({ now, random: () => 0.5 });
  const held = identity(token("a", 0), token("b", 0));
  let workload = adopted(volume, held, { ...at(0), wanted: undefined });
  const delays: number[] = [];
  for (let i = 0; i < 8; i += 1) {
    workload = withTokens(workload, { tokens: [], failure: "failing" }, at(2 * MINUTE));
    delays.push(workload.tokensAt - 2 * MINUTE);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 45_000, 45_000]);
});

test("what comes for a pod that lost its identity is not taken", () => {
  const at = { now: 0, random: () => 0.5 };
  const start = adopted(volume, identity(token("a", 0), token("b", 0)), {
    ...at,
    wanted: undefined,
  });
  const gone = withoutEntries(start, { now: 0, gone: true });
  expect(gone.tokensAt).toBe(Infinity);
  expect(withTokens(gone, { tokens: [token("a", 1)], failure: undefined }, at)).toBe(gone);
  expect(scheduledTokens(start)).toEqual({ dueAt: start.tokensAt, expiresAt: 5 * MINUTE });
});
