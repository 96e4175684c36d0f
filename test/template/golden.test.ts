import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";
import { readCorpora } from "./golden-files.ts";
import type { Corpus, Golden } from "./golden-files.ts";

const NO_DATA = { TrustDomain: "", ClusterName: "", ClusterDomain: "" };
const CORPORA = readCorpora();

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

function render(pair: Golden, data: Corpus["data"]): Pick<Golden, "class" | "output" | "error"> {
  try {
    const template = compileTemplate(pair.template, { name: "t" });
    const output = template.render(data[pair.data] ?? NO_DATA);
    return output === "" ? { class: "ok" } : { class: "ok", output };
  } catch (error) {
    return wordsOfGo(error);
  }
}

describe("templates give what Go's text/template gives", () => {
  it("has a corpus of at least 600 pairs", () => {
    expect(CORPORA.flatMap(({ golden }) => golden).length).toBeGreaterThan(600);
  });
});

describe.each(CORPORA)("$file", ({ golden, data }) => {
  it.each(golden.map((pair) => [JSON.stringify(pair.template), pair] as const))(
    "%s as in Go",
    (_, pair) => {
      const { template, data: name, ...expected } = pair;
      expect(render(pair, data), `${template} on ${name}`).toEqual(expected);
    },
  );
});
