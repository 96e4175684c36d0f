import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";

const DATA = { TrustDomain: "td", ClusterName: "", ClusterDomain: "", PodMeta: {} };

/** Compiles and renders; gives the error's code and message. */
function outcome(text: string): string {
  try {
    compileTemplate(text).render(DATA);
    return "rendered";
  } catch (error) {
    if (!isSignetError(error)) throw error;
    return `${error.code} ${error.message}`;
  }
}

const deep = (open: string, close: string, count: number) =>
  open.repeat(count) + close.repeat(count);

describe("a hostile template is stopped", () => {
  it.each([
    ["too long a text", "x".repeat(32_769), /^TEMPLATE_PARSE .*longer than 32768 bytes/],
    [
      "endless recursion",
      '{{define "r"}}{{template "r" .}}{{end}}{{template "r" .}}',
      /nests deeper than 1000/,
    ],
    [
      "recursion through many blocks",
      `{{define "r"}}${"{{if 1}}".repeat(200)}{{template "r" .}}${"{{end}}".repeat(200)}{{end}}{{template "r" .}}`,
      /nests deeper than 1000/,
    ],
    [
      "deep parentheses",
      `{{${deep("(", ")", 300).replace("()", "(1)")}}}`,
      /^TEMPLATE_PARSE .*nested deeper than 250/,
    ],
    ["deep blocks", deep("{{if 1}}", "{{end}}", 300), /^TEMPLATE_PARSE .*nested deeper than 250/],
    [
      "a long else-if chain",
      `{{if 0}}${"{{else if 0}}".repeat(300)}{{end}}`,
      /nested deeper than 250/,
    ],
    ["an endless range", "{{range 1000000000}}{{end}}", /takes more than 100000 steps/],
    [
      "nested ranges",
      "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}",
      /100000 steps/,
    ],
    ["a huge output", "{{range 9000}}aaaaaaaaaaaaaaaaaaaa{{end}}", /writes more than 65536 bytes/],
    [
      "a doubling string",
      '{{$x := "aaaaaaaa"}}{{range 64}}{{$x = print $x $x}}{{end}}',
      /makes more than 4194304 bytes/,
    ],
    [
      "a huge width",
      `{{len (printf "${"%999999d".repeat(5)}" 1 2 3 4 5)}}`,
      /makes more than 4194304 bytes/,
    ],
  ])("%s", (_, text, message) => {
    expect(outcome(text)).toMatch(message);
  });

  it("but what stays inside the limits runs", () => {
    expect(outcome(deep("{{if 1}}", "{{end}}", 200))).toBe("rendered");
    expect(outcome("{{range 20000}}{{if .}}x{{end}}{{end}}")).toBe("rendered");
  });

  it("and so is a template within tighter limits of the caller", () => {
    const template = compileTemplate("{{ .TrustDomain }}", { limits: { outputBytes: 1 } });
    expect(() => template.render(DATA)).toThrow(/writes more than 1 bytes/);
  });
});
