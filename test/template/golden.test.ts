import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";
import type { TemplateData } from "../../src/template/template.ts";

interface Golden {
  readonly template: string;
  readonly data: string;
  readonly class: "ok" | "parse" | "exec";
  readonly output?: string;
  readonly error?: string;
}

function read(file: string): string {
  return readFileSync(new URL(`../golden/templates/${file}`, import.meta.url), "utf8");
}

const { data } = JSON.parse(read("corpus.json")) as { data: Record<string, TemplateData> };
const golden = read("golden.jsonl")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Golden);

/** Puts an error into the words of Go, so that place, node and reason are all compared. */
function wordsOfGo(error: unknown): Pick<Golden, "class" | "error"> {
  if (isSignetError(error, "TEMPLATE_PARSE")) {
    const { line, reason } = error.details as { line: number; reason: string };
    const words = reason.replace("action started at line ", "action started at t:");
    return { class: "parse", error: `template: t:${line}: ${words}` };
  }
  if (!isSignetError(error, "TEMPLATE_EXEC")) throw error;
  const { line, column, node, template, reason } = error.details as Record<string, string>;
  const name = template === "" ? "t" : template;
  const at = `t:${line}:${Number(column) - 1}`;
  const message = `template: ${at}: executing ${JSON.stringify(name)} at <${node}>: ${reason}`;
  return { class: "exec", error: message };
}

function render(pair: Golden): Pick<Golden, "class" | "output" | "error"> {
  try {
    const template = compileTemplate(pair.template, { name: "t" });
    const output = template.render(data[pair.data] as TemplateData);
    return output === "" ? { class: "ok" } : { class: "ok", output };
  } catch (error) {
    return wordsOfGo(error);
  }
}

describe("templates give what Go's text/template gives", () => {
  it("has a corpus of at least 600 pairs", () => {
    expect(golden.length).toBeGreaterThan(600);
  });
  for (const pair of golden) {
    it(`${JSON.stringify(pair.template)} on ${pair.data}`, () => {
      const { template, data: name, ...expected } = pair;
      expect(render(pair), `${template} on ${name}`).toEqual(expected);
    });
  }
});
