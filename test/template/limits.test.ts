import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";

const DATA = {
  TrustDomain: "td",
  ClusterName: "",
  ClusterDomain: "",
  PodMeta: {},
  PodSpec: { overhead: { cpu: "1500m", memory: "1.5Gi" } },
};
const GROWING =
  "{{$q := .PodSpec.Overhead.Cpu}}{{range 1000}}{{if $q.Mul 9223372036854775807}}{{end}}{{end}}";

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
    ["an endless range", "{{range 1000000000}}{{end}}", /takes more than 30000 steps/],
    [
      "nested ranges",
      "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}",
      /30000 steps/,
    ],
    ["a huge output", `{{range 900}}${"a".repeat(200)}{{end}}`, /writes more than 65536 bytes/],
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

  it.each([
    [
      "long fractions",
      '{{range 100000}}{{if printf "%.999999f" 1.5}}{{end}}{{end}}',
      /4194304 bytes/,
    ],
    ["a width beyond Go's", '{{printf "%1000000000d" 1}}', /rendered/],
    [
      "many values",
      `{{range 100000}}{{if print ${"1 ".repeat(1000)}}}{{end}}{{end}}`,
      /4194304 bytes/,
    ],
    [
      "a long pipeline",
      `{{range 100000}}{{if 1${" | print".repeat(3000)}}}{{end}}{{end}}`,
      /4194304 bytes/,
    ],
    ["a growing quantity", GROWING, /a quantity with this many digits is not supported/],
    ["a scale without bounds", "{{.PodSpec.Overhead.Memory.ScaledValue 2147483647}}", /rendered/],
    ["rounding without bounds", "{{.PodSpec.Overhead.Cpu.RoundUp -2147483648}}", /not supported/],
  ])("%s", (_, text, message) => {
    expect(outcome(text)).toMatch(message);
  });

  it("but what stays inside the limits runs", () => {
    expect(outcome(deep("{{if 1}}", "{{end}}", 200))).toBe("rendered");
    expect(outcome("{{range 5000}}{{if .}}x{{end}}{{end}}")).toBe("rendered");
  });

  it("and so is a template within tighter limits of the caller", () => {
    const template = compileTemplate("{{ .TrustDomain }}", { limits: { outputBytes: 1 } });
    expect(() => template.render(DATA)).toThrow(/writes more than 1 bytes/);
  });
});

/** A pod as large as the API server keeps them. */
const LABELS = Object.fromEntries(
  Array.from({ length: 10_000 }, (_, index) => [`label-${(index * 7919) % 10_007}`, `v${index}`]),
);
const LARGE = {
  ...DATA,
  PodMeta: {
    name: "p",
    creationTimestamp: "2024-01-02T03:04:05Z",
    labels: LABELS,
    annotations: { long: "<é".repeat(40_000) },
    managedFields: [{ fieldsV1: LABELS }],
    ownerReferences: [{ kind: "K", name: "n", controller: true }],
  },
  PodSpec: {
    ...DATA.PodSpec,
    containers: Array.from({ length: 200 }, (_, index) => ({
      name: `c${index}`,
      env: Array.from({ length: 40 }, (_, at) => ({ name: `E${at}`, value: "x".repeat(20) })),
      resources: { limits: { cpu: "500m", memory: "1.5Gi" } },
    })),
  },
};
/** Far above what any rendering takes, and far below what each of these took without its limit. */
const MOST_CPU_MS = 1_000;

/** Repeats a pipeline as often as the limits allow; `$x` and `$y` are equal strings of a megabyte. */
const repeated = (pipeline: string) => `{{range 1000000}}{{if ${pipeline}}}{{end}}{{end}}`;
const doubled = (name: string) =>
  `{{${name} := "aaaaaaaa"}}{{range 16}}{{${name} = print ${name} ${name}}}{{end}}`;

function cpuMs(run: () => unknown): number {
  const before = process.threadCpuUsage();
  try {
    run();
  } catch (error) {
    if (!isSignetError(error)) throw error;
  }
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

describe("on a pod with ten thousand labels, no time is lost in", () => {
  it.each([
    ["counting labels", repeated("len $.PodMeta.Labels")],
    ["testing for labels", repeated("$.PodMeta.Labels")],
    ["testing a variable", `{{$l := .PodMeta.Labels}}${repeated("$l")}`],
    ["beginning to range", "{{range 1000000}}{{range $.PodMeta.Labels}}{{break}}{{end}}{{end}}"],
    ["printing the pod", repeated("print $.PodSpec")],
    ["printing it in Go's syntax", repeated('printf "%#v" $.PodSpec')],
    ["marshalling it", repeated("$.PodSpec.Marshal")],
    ["copying it", repeated("$.PodSpec.DeepCopy")],
    ["a failure that shows it", "{{range $i, $e := .PodSpec}}{{end}}"],
    ["managed fields", repeated("(index $.PodMeta.ManagedFields 0).FieldsV1.Raw")],
    ["a long annotation", repeated("$.PodMeta.Annotations.long")],
    ["escaping it", repeated("js $.PodMeta.Annotations.long")],
    ["comparing long strings", `${doubled("$x")}${doubled("$y")}${repeated("eq $x $y")}`],
    ["a long key", `${doubled("$x")}${repeated("index $.PodMeta.Labels $x")}`],
    ["a long layout", `${doubled("$x")}${repeated("$.PodMeta.CreationTimestamp.Format $x")}`],
    ["a long format", `${doubled("$x")}{{$f := print "%" $x}}${repeated("printf $f 1")}`],
    ["times", repeated('printf "%x" $.PodMeta.CreationTimestamp.MarshalText')],
    ["addresses", repeated("print $.PodMeta.OwnerReferences")],
    [
      "many variables",
      Array.from({ length: 1900 }, (_, i) => `{{$v${i}:=1}}`).join("") + repeated("$v0"),
    ],
    ["the plain way of plain templates", "{{.PodMeta.Annotations.long}}".repeat(1000)],
  ])("%s", (_, text) => {
    const template = compileTemplate(text);
    expect(cpuMs(() => template.render(LARGE))).toBeLessThan(MOST_CPU_MS);
  });
});

const filled = (piece: string) => piece.repeat(Math.floor(32_700 / piece.length));

describe("no time is lost in compiling", () => {
  it.each([
    ["digits", `{{${filled("9")}i}}`],
    ["hexadecimal digits", `{{0x${filled("f")}}}`],
    ["underscores", `{{${filled("1_")}}}`],
    ["operands", `{{print ${filled("(1) ")}}}`],
    ["variables", filled("{{$a:=1}}")],
    ["dollar signs", `{{/*${filled("$a , ")}*/}}{{$a:=1}}`],
    ["blanks", `{{/*$a${" ".repeat(16_000)},${" ".repeat(16_000)}*/}}{{$a:=1}}`],
    ["problems", filled("{{if .X}}{{end}}")],
    ["lines", filled("\n{{.X}}")],
    ["definitions", Array.from({ length: 1100 }, (_, i) => `{{define "${i}"}}{{end}}`).join("")],
    [
      "calls with different data",
      `{{define "x"}}${"{{.Name}}".repeat(2400)}{{end}}` +
        Array.from({ length: 230 }, (_, i) => `{{template "x" .PodMeta.Labels.k${i}}}`).join(""),
    ],
  ])("%s", (_, text) => {
    expect(cpuMs(() => compileTemplate(text))).toBeLessThan(MOST_CPU_MS);
  });
});
