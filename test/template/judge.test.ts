import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findGo, run } from "./go.ts";
import { GOLDEN_FOLDER, goldenFile, readCorpora } from "./golden-files.ts";

const GOLDEN = fileURLToPath(GOLDEN_FOLDER);
/** Of a machine that has built nothing of Kubernetes before. */
const FIRST_BUILD_MS = 600_000;
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-judge-"));
  const go = await findGo(process.env);
  await run(go, ["build", "-o", `${folder}/`, ".", "./types"], { cwd: GOLDEN });
  await run(join(folder, "templates"), [folder], { cwd: GOLDEN });
}, FIRST_BUILD_MS);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("what Go gives today", () => {
  it.each(readCorpora().map(({ file }) => goldenFile(file)))("is what %s says", async (file) => {
    const today = await readFile(join(folder, file), "utf8");
    const kept = await readFile(join(GOLDEN, file), "utf8");
    // By line, so that a difference is shown with its template.
    expect(kept.split("\n"), "run `go run .` there").toEqual(today.split("\n"));
  });

  it("is the table of types that Signet has", async () => {
    const today = await run(join(folder, "types"), []);
    const table = new URL("../../src/template/go-types.ts", import.meta.url);
    expect(await readFile(table, "utf8"), "see its first lines").toBe(today);
  });
});

describe("a machine without Go", () => {
  it("fails and says what to install", async () => {
    const nowhere = { PATH: folder };
    await expect(findGo(nowhere)).rejects.toThrow(/Go 1\.26\.0 or newer .* name it in SIGNET_GO/);
    await expect(findGo({ SIGNET_GO: join(folder, "go") })).rejects.toThrow(/found none/);
  });
});
