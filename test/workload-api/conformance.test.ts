import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/conformance-workload-api.md"), "utf8");
const rows = new Map(
  [...page.matchAll(/^\| ([A-Z]+-\d+) \|.*\| ([^|]+) \|$/gm)].map(([, id = "", held = ""]) => [
    id,
    held,
  ]),
);

/** Rules named in brackets in titles of tests. */
const tested = new Set(
  ["test/workload-api", "test/rpc", "test/clients"]
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((name) =>
        join(folder, name),
      ),
    )
    .filter((path) => path.endsWith(".test.ts"))
    .flatMap((path) => [
      ...readFileSync(join(ROOT, path), "utf8").matchAll(/\[((?:[A-Z0-9]+-\d+ ?)+)\]/g),
    ])
    .flatMap(([, ids = ""]) => ids.split(" ")),
);

it.each([
  ["WAPI", 41],
  ["WEP", 19],
  ["JWT", 20],
])("names every %s rule once", (name, count) => {
  const ids = Array.from({ length: count }, (_, i) => `${name}-${i + 1}`);
  expect([...rows.keys()].filter((id) => id.startsWith(`${name}-`))).toEqual(ids);
});

it("says `test` exactly where a test names the rule", () => {
  const said = [...rows].filter(([, held]) => held.startsWith("test")).map(([id]) => id);
  const known = [...rows.keys()].filter((id) => tested.has(id));
  expect(said).toEqual(known);
});
