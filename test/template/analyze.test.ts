import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import type { Template, TemplateData } from "../../src/template/template.ts";
import { compileTemplate } from "../../src/template/template.ts";
import { DATA_TYPE } from "../../src/template/types.ts";
import { readCorpora } from "./golden-files.ts";

const CORPORA = readCorpora();

/** The problems of a template: `certain` or `perhaps`, and where. */
function problems(text: string): string[] {
  return compileTemplate(text).problems.map(({ certain, line, column }) => {
    return `${certain ? "certain" : "perhaps"} ${line}:${column}`;
  });
}

describe("a problem is certain", () => {
  it.each([
    ["at the top", "{{ .Foo }}", "certain 1:4"],
    ["in the pipeline of an if", "{{ if .Foo }}{{ end }}", "certain 1:7"],
    ["in the pipeline of a range", "{{ range .PodMeta.Foo }}{{ end }}", "certain 1:18"],
    ["in the pipeline of a with", "{{ with .PodMeta.Foo }}{{ end }}", "certain 1:17"],
    ["in an argument", "{{ print 1 (len .Foo) }}", "certain 1:17"],
    ["in the first argument of and", "{{ and .Foo 1 }}", "certain 1:8"],
    ["behind a pointer that may be nil", "{{ .PodSpec.OS.Foo }}", "certain 1:12"],
    [
      "in a template that is called there",
      '{{ define "x" }}{{ .Foo }}{{ end }}{{ template "x" . }}',
    ],
    ["in a block", '{{ block "x" . }}{{ .Foo }}{{ end }}'],
    ["in an argument of a call", '{{ define "x" }}{{ end }}{{ template "x" .Foo }}'],
    ["for a method without a result", "{{ .PodMeta.Reset }}", "certain 1:12"],
    ["for a method with two", "{{ .PodMeta.CreationTimestamp.ISOWeek }}"],
    ["for what a method gave", "{{ .PodMeta.CreationTimestamp.Month.Foo }}"],
  ])("%s", (_, text, where = "certain ") => {
    expect(problems(text)).toEqual([expect.stringContaining(where)]);
  });

  it("when it also is where it is not", () => {
    const calls = '{{ if 1 }}{{ template "x" . }}{{ end }}{{ template "x" . }}';
    expect(problems(`{{ define "x" }}{{ .Foo }}{{ end }}${calls}`)).toEqual(["certain 1:20"]);
  });

  it("however many others there are", () => {
    const others = "{{ if 1 }}{{ .Foo }}\n{{ end }}".repeat(30);
    expect(problems(`${others}{{ .Bar }}`)).toContain("certain 31:13");
  });
});

describe("a problem is not certain", () => {
  it.each([
    ["in an if", "{{ if 1 }}{{ .Foo }}{{ end }}"],
    ["in an else", "{{ if 1 }}{{ else }}{{ .Foo }}{{ end }}"],
    ["in the condition of an else if", "{{ if 1 }}{{ else if .Foo }}{{ end }}"],
    ["in a with", "{{ with .PodMeta }}{{ .Foo }}{{ end }}"],
    ["in a range", "{{ range 1 }}{{ $.Foo }}{{ end }}"],
    ["in the else of a range", "{{ range 1 }}{{ else }}{{ $.Foo }}{{ end }}"],
    ["behind and", "{{ and 0 .Foo }}"],
    ["deep behind or", "{{ print (or 1 (len .Foo)) }}"],
    ["on the value of a key that may be absent", "{{ .PodMeta.Labels.app.foo }}"],
    [
      "in a template called under a condition",
      '{{ define "x" }}{{ .Foo }}{{ end }}{{ if 1 }}{{ template "x" . }}{{ end }}',
    ],
  ])("%s", (_, text) => {
    expect(problems(text)).toEqual([expect.stringMatching(/^perhaps /)]);
  });

  it("in a template that is never called, where there is none", () => {
    expect(problems('{{ define "x" }}{{ .Foo }}{{ end }}')).toEqual([]);
  });
});

/** Statements that fail, succeed, or decide about others. */
const PIECES = [
  "{{ .Foo }}",
  "{{ .PodMeta.Foo }}",
  "{{ .PodMeta.Labels.app.foo }}",
  "{{ .PodSpec.OS.Foo }}",
  "{{ and .PodMeta.Labels .Foo }}",
  "{{ or .PodMeta.Name .Foo }}",
  "{{ $m := .PodMeta }}",
  "{{ $m = .PodSpec }}",
  "{{ $m.Foo }}",
  "{{ $m.Name }}",
  "{{ if .PodMeta.Name }}",
  "{{ with .PodMeta.Labels }}",
  "{{ range .PodSpec.Containers }}",
  "{{ else }}",
  "{{ end }}",
  "{{ break }}",
  '{{ define "x" }}',
  '{{ template "x" . }}',
  '{{ template "x" .PodMeta }}',
  "{{ .PodMeta.CreationTimestamp.Date }}",
];

function compiled(text: string): Template | undefined {
  try {
    return compileTemplate(text);
  } catch (error) {
    if (isSignetError(error, "TEMPLATE_PARSE")) return undefined;
    throw error;
  }
}

function fails(template: Template, data: TemplateData): boolean {
  try {
    template.render(data);
    return false;
  } catch (error) {
    if (isSignetError(error, "TEMPLATE_EXEC")) return true;
    throw error;
  }
}

describe("what is certain", () => {
  const everyData = CORPORA.flatMap(({ data }) => Object.values(data));

  it("fails whatever the data is", () => {
    const parts = fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(parts, fc.constantFrom(...everyData), (pieces, data) => {
        const template = compiled(pieces.join(""));
        fc.pre(template?.problems.some(({ certain }) => certain) === true);
        expect(template !== undefined && fails(template, data)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("fails in Go, on every data of the corpus", () => {
    const pairs = CORPORA.flatMap(({ golden }) => golden);
    const certain = pairs.filter(({ template }) => {
      return compiled(template)?.problems.some((problem) => problem.certain);
    });
    expect(certain.length).toBeGreaterThan(20);
    expect(certain.filter((pair) => pair.class !== "exec")).toEqual([]);
  });
});

/** Leaves out every field of metadata and specs that is not among the paths. */
function project(data: TemplateData, paths: readonly string[]): TemplateData {
  const kept = Object.entries(data).map(([name, value]) => {
    if (paths.includes(name) || typeof value !== "object") return [name, value] as const;
    const type = DATA_TYPE.findField(name)?.at(-1)?.type.elem;
    const named = paths.filter((path) => path.startsWith(`${name}.`));
    const fields = new Set(
      named.map((path) => type?.findField(path.slice(name.length + 1))?.at(-1)?.json),
    );
    const some = Object.entries(value as object).filter(([field]) => fields.has(field));
    return [name, Object.fromEntries(some)] as const;
  });
  return Object.fromEntries(kept) as unknown as TemplateData;
}

/** What a template gives: its output, or why it fails. */
function outcome(template: Template, data: TemplateData): string {
  try {
    return template.render(data);
  } catch (error) {
    if (isSignetError(error)) return error.message;
    throw error;
  }
}

describe("paths", () => {
  it.each(CORPORA.filter(({ golden }) => golden.length > 0))(
    "name all that the templates of $file read",
    ({ golden, data }) => {
      const wrong = golden.filter((pair) => {
        const template = compiled(pair.template);
        const full = data[pair.data];
        if (template === undefined || full === undefined) return false;
        const cut = project(full, template.paths);
        return outcome(template, full) !== outcome(template, cut);
      });
      expect(wrong).toEqual([]);
    },
  );
});
