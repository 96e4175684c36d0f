import { expect, test } from "vitest";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { adopted, withBundle, withoutEntries } from "../../src/agent/workload.ts";
import type { Workload } from "../../src/agent/workload.ts";
import { viewOf } from "../../src/agent/workload-view.ts";
import { bundleOf, identityOf, pod, volumeOf } from "./fixture.ts";

const HOUR = 3_600_000;
const at = { now: 0, random: () => 0.5 };
const svid = (name: string, notAfter: number) => ({
  spiffeId: `spiffe://test.local/${name}`,
  entryId: name,
  revision: "r1",
  chain: [Buffer.from(name)],
  notBefore: 0,
  notAfter,
  hint: `hint of ${name}`,
  federatesWith: [],
});
const held = identityOf([svid("web", HOUR), svid("db", 2 * HOUR)]);
const workload = (
  identity: WorkloadIdentity | undefined = held,
  removal: "keep" | "remove" = "keep",
) => adopted({ ...volumeOf("vol", pod("pod")), removal }, identity, { ...at, wanted: undefined });
const statusOf = (given: Workload | undefined, now = 0) =>
  viewOf(given, undefined, now).state.status;

test("a view tells SVIDs in their order with the one key that they share", () => {
  expect(viewOf(workload(), undefined, 0).state).toEqual({
    status: "entitled",
    trustDomain: "test.local",
    svids: [
      {
        spiffeId: "spiffe://test.local/web",
        chain: [Buffer.from("web")],
        privateKey: held.privateKey,
        hint: "hint of web",
      },
      {
        spiffeId: "spiffe://test.local/db",
        chain: [Buffer.from("db")],
        privateKey: held.privateKey,
        hint: "hint of db",
      },
    ],
    bundle: held.bundle,
    federatedBundles: new Map(),
  });
});

test("a view stays the same object until something that it tells changes", () => {
  const first = viewOf(workload(), undefined, 0);
  const token = { audience: "a", spiffeId: "s", token: "t", issuedAt: 0, expiresAt: 1 };
  const withToken = { ...workload(), renewAt: 7, held: { ...held, tokens: [token] } };
  expect(viewOf(withToken, first, HOUR - 1).state).toBe(first.state);
  for (const changed of [
    { ...held, bundle: bundleOf([], 2) },
    { ...held, svids: [...held.svids] },
    { ...held, privateKey: Buffer.from("other") },
    { ...held, federatedBundles: [bundleOf([])] },
  ]) {
    expect(viewOf({ ...workload(), held: changed }, first, 0).state).not.toBe(first.state);
  }
});

test("what has expired is not told, and after the last one nothing is known", () => {
  const first = viewOf(workload(), undefined, 0);
  const second = viewOf(workload(), first, HOUR);
  expect(second.state).toMatchObject({ svids: [{ spiffeId: "spiffe://test.local/db" }] });
  expect(viewOf(workload(), second, 2 * HOUR).state).toEqual({ status: "unknown" });
});

test("only a pod that the operator said to be without identity has none", () => {
  expect(statusOf(undefined)).toBe("unknown");
  expect(statusOf(adopted(volumeOf("v", pod("p")), undefined, { ...at, wanted: undefined }))).toBe(
    "unknown",
  );
  for (const removal of ["keep", "remove"] as const) {
    const unsure = withoutEntries(workload(held, removal), { now: 0, gone: false });
    expect(statusOf(unsure)).toBe("entitled");
    expect(unsure.writeAt).toBe(Infinity);
    const gone = withoutEntries(unsure, { now: 5, gone: true });
    expect(statusOf(gone)).toBe("none");
    expect(gone.held).toBe(removal === "keep" ? held : undefined);
    expect(gone.writeAt).toBe(removal === "keep" ? Infinity : 5);
    expect(statusOf(withoutEntries(gone, { now: 9, gone: false }))).toBe("none");
    // A later session that says the same clears nothing again.
    expect(withoutEntries({ ...gone, writeAt: Infinity }, { now: 9, gone: true }).writeAt).toBe(
      Infinity,
    );
  }
});

test("a bundle without change makes no change", () => {
  const same = workload();
  expect(withBundle(same, { ...held.bundle }, at)).toBe(same);
  const withKey = { ...held.bundle, jwtAuthorities: [{ kid: "k", kty: "EC", x: "1" }] };
  const changed = withBundle(same, withKey, at);
  expect(changed.held?.bundle).toBe(withKey);
  expect(changed.writeAt).toBe(500);
  const rotated = { ...withKey, jwtAuthorities: [{ kid: "k", kty: "EC", x: "2" }] };
  expect(withBundle(changed, rotated, at).held?.bundle).toBe(rotated);
});
