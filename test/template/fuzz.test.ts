import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { Budget } from "../../src/template/budget.ts";
import { fromBytes, toBytes } from "../../src/template/bytes.ts";
import { compileDirect } from "../../src/template/direct.ts";
import { execute } from "../../src/template/exec.ts";
import { Lexer } from "../../src/template/lexer.ts";
import { DEFAULT_LIMITS } from "../../src/template/limits.ts";
import { parseTemplate } from "../../src/template/parser.ts";
import { compileTemplate } from "../../src/template/template.ts";
import type { TemplateData } from "../../src/template/template.ts";
import { DATA_TYPE } from "../../src/template/types.ts";
import { load } from "../../src/template/value.ts";
import { readCorpora } from "./golden-files.ts";

const CORPORA = readCorpora();
const TEMPLATES = CORPORA.flatMap(({ templates }) => templates);
const DATA = CORPORA.flatMap(({ data }) => Object.values(data));

const TOKENS =
  "{{ }} {{- -}} . $ $x := = | ( ) , /* */ \" ' ` % é \u00a0 0 1 -1 0x 1e 1i nil true print printf " +
  "index slice len eq and or not html js call if else end range with define template block break " +
  ".PodMeta .Name .Labels .PodSpec .Containers .Foo";

/** Texts near the border of the language: pieces of tokens, mutated templates, and any text. */
const text = fc.oneof(
  fc
    .array(fc.constantFrom(...TOKENS.split(" "), " ", "\n"), { maxLength: 30 })
    .map((t) => t.join("")),
  fc
    .array(fc.constantFrom(...TOKENS.split(" "), " "), { maxLength: 20 })
    .map((t) => `{{${t.join("")}}}`),
  fc
    .tuple(fc.constantFrom(...TEMPLATES), fc.nat(200), fc.nat(8), fc.string({ maxLength: 4 }))
    .map(([template, at, cut, put]) => template.slice(0, at) + put + template.slice(at + cut)),
  fc.string({ unit: "binary", maxLength: 60 }),
);

/** Compiles and renders; gives what no template may do, or undefined. */
function misbehaviour(template: string, data: TemplateData): string | undefined {
  try {
    const output = compileTemplate(template).render(data);
    return output.length > DEFAULT_LIMITS.outputBytes ? "too much output" : undefined;
  } catch (error) {
    if (!isSignetError(error, "TEMPLATE_PARSE", "TEMPLATE_EXEC")) return String(error);
    if (error.cause !== undefined) return `not foreseen: ${error.message}`;
    return "reason" in error.details ? undefined : `no reason: ${error.message}`;
  }
}

describe("any template", () => {
  it("lexes to an end within as many items as it has bytes", () => {
    fc.assert(
      fc.property(text, (template) => {
        const bytes = toBytes(template);
        const lexer = new Lexer(bytes);
        let items = 0;
        for (let item = lexer.next(); item.type !== "eof" && item.type !== "error"; items++) {
          item = lexer.next();
        }
        expect(items).toBeLessThanOrEqual(bytes.length + 1);
      }),
      { numRuns: 2000 },
    );
  });

  it("compiles and renders, or fails with a SignetError of its kind", () => {
    fc.assert(
      fc.property(text, fc.constantFrom(...DATA), (template, data) => {
        expect(misbehaviour(template, data)).toBeUndefined();
      }),
      { numRuns: 3000 },
    );
  });

  it("renders any JSON as data, or fails with a SignetError", () => {
    const json = fc.jsonValue({ maxDepth: 3 }).map((value) => value as object);
    fc.assert(
      fc.property(fc.constantFrom(...TEMPLATES), json, json, (template, PodMeta, PodSpec) => {
        const data = { TrustDomain: "t", ClusterName: "c", ClusterDomain: "d", PodMeta, PodSpec };
        expect(misbehaviour(template, data)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });
});

/** Pipelines that grow, repeat or look far, alone and inside each other. */
const { pipeline, block } = fc.letrec((tie) => ({
  operand: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(
      ..."$x $y $n . $ 7 1.5e300 'a' $.PodMeta $.PodSpec $.PodMeta.Labels".split(" "),
    ),
    fc.constantFrom("$.PodMeta.CreationTimestamp", "$.PodSpec.Overhead.Cpu", "$.PodMeta.Name"),
    tie("pipeline").map((text) => `(${text as string})`),
  ),
  pipeline: fc
    .tuple(
      fc.constantFrom(
        ..."print println html js urlquery len not".split(" "),
        ...['printf "%s%v%q"', 'printf "%999999d%.99999f%[1]*[1]v"', 'printf "%#v%+v%x%X"'],
        ...["printf $x", "slice $x 1", "index $.PodMeta.Labels", "eq $x", "lt $x", "and 1", "or 0"],
        ...[
          "$.PodMeta.CreationTimestamp.Format",
          "$.PodSpec.Overhead.Cpu.Mul",
          "$.PodMeta.DeepCopy",
        ],
      ),
      fc.array(tie("operand"), { maxLength: 3 }),
      fc.constantFrom("", " | print", " | printf $x", " | html | js"),
    )
    .map(([name, operands, rest]) => `${[name, ...operands].join(" ")}${rest}`),
  block: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("pipeline").map((text) => `{{${text as string}}}`),
    tie("pipeline").map((text) => `{{$x = print (${text as string}) $x $y}}{{$y = $x}}`),
    fc
      .tuple(
        fc.constantFrom("range 9999999", "range $.PodMeta.Labels", "if 1", "with $x"),
        tie("body"),
      )
      .map(([head, body]) => `{{${head}}}${body as string}{{end}}`),
    fc.constant('{{template "r" $}}'),
    fc.constant('{{template "r" $x}}'),
  ),
  body: fc.array(tie("block"), { minLength: 1, maxLength: 4 }).map((blocks) => blocks.join("")),
}));
const MOST_CPU_MS = 2_000;

describe("a hostile template", () => {
  it("compiles and renders, or fails, soon", () => {
    const body = fc.array(block, { minLength: 1, maxLength: 4 });
    const start = '{{$x := "aaaa%d%s"}}{{$y := $x}}{{$n := 1}}';
    fc.assert(
      fc.property(body, body, pipeline, fc.constantFrom(...DATA), (main, called, first, data) => {
        const define = `{{define "r"}}${start}${called.join("")}{{end}}`;
        const text = `${define}${start}{{${first}}}${main.join("")}`;
        const before = process.threadCpuUsage();
        expect(misbehaviour(text, data)).toBeUndefined();
        const { user, system } = process.threadCpuUsage(before);
        expect((user + system) / 1000).toBeLessThan(MOST_CPU_MS);
      }),
      { numRuns: 150 },
    );
  }, 120_000);
});

const PIECES = [
  "{{.TrustDomain}}",
  "{{.PodMeta.Name}}",
  "{{.PodMeta.UID}}",
  "{{.PodMeta.Labels.app}}",
  '{{index .PodMeta.Labels "app"}}',
  '{{index .PodMeta.Labels "größe"}}',
  "{{.PodSpec.ServiceAccountName}}",
  "{{.PodSpec.OS.Name}}",
  "{{.PodMeta.Labels.constructor}}",
  "{{- .NodeMeta.Name -}}",
  " /x/ ",
];

/** Values as the API server might send them, and some that it never would. */
const metadata = fc.option(
  fc.record(
    {
      name: fc.oneof(fc.string({ unit: "binary" }), fc.constant(null), fc.constant(7)),
      uid: fc.string(),
      labels: fc.option(
        fc.dictionary(
          fc.constantFrom("app", "größe", "x"),
          fc.oneof(fc.string({ unit: "binary" }), fc.constant(1)),
        ),
      ),
    },
    { requiredKeys: [] },
  ),
);
const spec = fc.option(
  fc.record(
    { serviceAccountName: fc.string(), os: fc.option(fc.record({ name: fc.string() })) },
    { requiredKeys: [] },
  ),
);

describe("the direct way of plain templates", () => {
  it("gives what the executor gives, or leaves it to the executor", () => {
    const parts = fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(parts, metadata, spec, (pieces, meta, podSpec) => {
        const bytes = toBytes(pieces.join("-"));
        const program = { text: bytes, ...parseTemplate(bytes, DEFAULT_LIMITS) };
        const data = { TrustDomain: "td", PodMeta: meta, NodeMeta: meta, PodSpec: podSpec };
        const direct = compileDirect(program.root, DEFAULT_LIMITS.outputBytes);
        expect(direct).toBeDefined();
        const output = direct?.(data);
        if (output === undefined) return;
        const root = load(DATA_TYPE.pointerTo(), data, { owner: data, key: "data" });
        expect(output).toBe(fromBytes(execute(program, root, new Budget(DEFAULT_LIMITS))));
      }),
      { numRuns: 2000 },
    );
  });
});
