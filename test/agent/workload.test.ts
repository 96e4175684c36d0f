import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { FileToken, WorkloadIdentity } from "../../src/csi/ports.ts";
import { nodeEntries } from "../../src/agent/node-entries.ts";
import {
  adopted,
  expiry,
  failed,
  fingerprint,
  renewed,
  withEntries,
  withoutEntries,
} from "../../src/agent/workload.ts";
import { identityOf, pod, volumeOf } from "./fixture.ts";

const HOUR = 3_600_000;
const at = (now: number) => ({ now, random: () => 0.5 });
const volume = volumeOf("vol", pod("pod"));

function identity(issuedAt: number, ...entryIds: string[]): WorkloadIdentity {
  const svids = entryIds.map((entryId, i) => ({
    spiffeId: `spiffe://test.local/${entryId}`,
    entryId,
    revision: "r1",
    chain: [],
    notBefore: issuedAt,
    notAfter: issuedAt + HOUR + i,
    hint: "",
    federatesWith: [],
  }));
  const signed = identityOf(svids);
  return { ...signed, bundle: { ...signed.bundle, jwtAuthorities: [{ kid: "k", kty: "EC" }] } };
}

interface Ref {
  readonly entryId: string;
  readonly revision: string;
}

/** The long way to compare sets. */
function sameSet(a: readonly Ref[], b: readonly Ref[]): boolean {
  const within = (some: readonly Ref[], all: readonly Ref[]): boolean =>
    some.every((x) => all.some((y) => x.entryId === y.entryId && x.revision === y.revision));
  return within(a, b) && within(b, a);
}

test("a fingerprint does not depend on order or repetition, and on everything else", () => {
  const ref = fc.record({
    entryId: fc.string({ maxLength: 3 }),
    revision: fc.string({ maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(ref), fc.array(ref), (a, b) => {
      expect(fingerprint([...a, ...a].toReversed())).toBe(fingerprint(a));
      expect(fingerprint(a) === fingerprint(b)).toBe(sameSet(a, b));
    }),
  );
  expect(fingerprint([])).toBe("");
});

test("a workload expires with the first of its SVIDs", () => {
  const held = identity(0, "a", "b");
  const twisted = { ...held, svids: held.svids.toReversed() };
  expect(expiry({ held: twisted })).toBe(HOUR);
  expect(expiry({ held: undefined })).toBe(-Infinity);
});

test("a workload without identity waits for entries", () => {
  const waiting = adopted(volume, undefined, { ...at(0), wanted: undefined });
  expect(waiting.renewAt).toBe(Infinity);
  expect(adopted(volume, undefined, { ...at(7), wanted: "x" }).renewAt).toBe(7);
  expect(withEntries(waiting, "x", at(9)).renewAt).toBe(9);
});

test("a workload that was failing comes soon when its entries are said again, others stay", () => {
  const wanted = fingerprint([{ entryId: "a", revision: "r1" }]);
  const fresh = adopted(volume, identity(0, "a"), { ...at(0), wanted });
  expect(withEntries(fresh, wanted, at(5))).toBe(fresh);
  let down = fresh;
  for (let i = 0; i < 10; i++) down = failed(down, "failing", at(HOUR * 0.6));
  expect(down.renewAt).toBe(HOUR * 0.6 + 60_000);
  const back = withEntries(down, wanted, at(HOUR * 0.6 + 10));
  expect(back).toMatchObject({ renewAt: HOUR * 0.6 + 510, attempt: 0, trouble: undefined });
});

test("an answer that is not what is wanted is asked for again more and more slowly", () => {
  const wanted = fingerprint([{ entryId: "a", revision: "r2" }]);
  const start = adopted(volume, identity(0, "a"), { ...at(0), wanted });
  const delays: number[] = [];
  let workload = start;
  for (let i = 0; i < 4; i++) {
    workload = renewed(workload, identity(0, "a"), { ...at(0), wanted, asked: wanted });
    delays.push(workload.renewAt);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000]);
});

test("pods that are not named in a session are forgotten at its sync, later ones are not", () => {
  const entries = nodeEntries();
  const ref = [{ entryId: "e", revision: "r" }];
  entries.set("before", ref);
  entries.beginSession();
  entries.set("named", ref);
  expect(entries.of("before")).toBeDefined();
  entries.synced();
  expect(entries.of("before")).toBeUndefined();
  expect(entries.of("named")).toBe(fingerprint(ref));
  entries.set("later", ref);
  entries.set("named", []);
  expect(entries.of("named")).toBeUndefined();
  expect(entries.of("later")).toBe(fingerprint(ref));
  expect(entries.isSynced).toBe(true);
});

const tokenOf = (name: string): FileToken => ({
  audience: "api",
  spiffeId: `spiffe://test.local/${name}`,
  token: `${Buffer.from('{"kid":"k"}').toString("base64url")}.b.c`,
  issuedAt: 0,
  expiresAt: HOUR,
});
const wantedOf = (...entryIds: string[]): string =>
  fingerprint(entryIds.map((entryId) => ({ entryId, revision: "r1" })));
const withToken = () => {
  const held = { ...identity(0, "a"), tokens: [tokenOf("a")] };
  const asking = { ...volume, jwtAudiences: ["api"] };
  return adopted(asking, held, { ...at(0), wanted: wantedOf("a") });
};

test("tokens of entries that went, and came again with another one beside, are renewed", () => {
  const gone = withoutEntries(withToken(), { now: 1, gone: true });
  const wanted = wantedOf("a", "b");
  const back = withEntries(gone, wanted, at(2));
  const { tokensAt } = renewed(back, identity(2, "a", "b"), { ...at(2), wanted, asked: wanted });
  expect(tokensAt).toBe(HOUR / 2);
});
