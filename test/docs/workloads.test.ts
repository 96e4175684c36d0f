import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { FOLLOWERS, SERVERS } from "../clients/example-programs.ts";

const DOCS = join(import.meta.dirname, "../../docs");
const EXAMPLES = readdirSync(join(DOCS, "examples"));

it("every example is one that real runs judge", () => {
  expect(EXAMPLES.toSorted()).toEqual([...SERVERS, ...FOLLOWERS].toSorted());
});

it.each(EXAMPLES)("the document shows the example %s as it is run", (name) => {
  const document = readFileSync(join(DOCS, "workloads.md"), "utf8");
  const example = readFileSync(join(DOCS, "examples", name), "utf8");
  expect(document).toContain(`\n${example}\`\`\`\n`);
});
