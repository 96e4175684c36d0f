import { expect, test } from "vitest";
import { svidFolders } from "../../src/csi/layout-svids.ts";
import type { IssuedSvid } from "../../src/csi/ports.ts";

const svid = (hint: string, entryId: string): IssuedSvid => ({
  spiffeId: `spiffe://example.org/${entryId}`,
  chain: [],
  notBefore: 0,
  notAfter: 0,
  hint,
  entryId,
  revision: "",
  federatesWith: [],
});
const foldersOf = (...svids: IssuedSvid[]) =>
  [...svidFolders(svids)].map(([folder, { entryId }]) => [folder, entryId]);

test("a hint names the folder, the default SVID's too; a default without a hint has none", () => {
  expect(foldersOf(svid("", "e0"), svid("internal", "e1"))).toEqual([["internal", "e1"]]);
  expect(foldersOf(svid("internal", "e0"))).toEqual([["internal", "e0"]]);
  expect(foldersOf(svid("", "e0"))).toEqual([]);
});

test("of equal hints the first has the folder; the other one keeps its own from one rotation to the next", () => {
  const [first, ...others] = foldersOf(svid("a", "e0"), svid("a", "e1"), svid("a", "e2"));
  expect(first).toEqual(["a", "e0"]);
  expect(others).toEqual([
    ["a-8b5cc4df", "e1"],
    ["a-ac0f09c0", "e2"],
  ]);
});

test("an empty or odd hint becomes a name that can be, with the entry's digest", () => {
  const names = foldersOf(
    svid("", "e0"),
    svid("", "e1"),
    svid("../../etc/passwd", "e1"),
    svid("...", "e1"),
    svid("ä b", "e1"),
    svid("x".repeat(64), "e1"),
  ).map(([folder]) => folder);
  const digest = "8b5cc4df";
  expect(names).toEqual([
    `svid-${digest}`,
    `_.._etc_passwd-${digest}`,
    `svid-${digest}-2`,
    `__b-${digest}`,
    `${"x".repeat(63)}-${digest}`,
  ]);
});

test("a hint that looks like another one's derived name does not take its place away", () => {
  const digest = "8b5cc4df";
  expect(foldersOf(svid("", "e0"), svid("", "e1"), svid(`svid-${digest}`, "e2"))).toEqual([
    [`svid-${digest}`, "e2"],
    [`svid-${digest}-2`, "e1"],
  ]);
});
