import { describe, expect, it } from "vitest";
import { compileTemplate } from "../../src/template/template.ts";

const certain = (text: string): boolean[] =>
  compileTemplate(text).problems.map((problem) => problem.certain);

describe("what is sure to fail", () => {
  it.each([
    "{{ .PodMeta.Nmae }}",
    "{{ if .PodMeta.Nmae }}x{{ end }}",
    "{{ with .PodMeta.Nmae }}x{{ end }}",
    "{{ range .PodMeta.Nmae }}x{{ end }}",
    "{{ $x := .PodMeta.Nmae }}",
    "{{ print 1 .PodMeta.Nmae }}",
    "{{ or .PodMeta.Nmae 1 }}",
    "{{ .PodMeta.Nmae | and 1 }}",
    '{{ define "t" }}{{ .Nmae }}{{ end }}{{ template "t" .PodMeta }}',
    "{{ if .PodMeta }}{{ .PodMeta.Nmae }}{{ end }}{{ .PodMeta.Nmae }}",
  ])("fails every time: %s", (text) => {
    expect(certain(text)).toContain(true);
  });

  it.each([
    "{{ if .PodMeta.Name }}{{ .PodMeta.Nmae }}{{ end }}",
    "{{ if .PodMeta.Name }}x{{ else }}{{ .PodMeta.Nmae }}{{ end }}",
    "{{ with .PodMeta }}{{ .Nmae }}{{ end }}",
    "{{ range .PodSpec.Containers }}{{ $.PodMeta.Nmae }}{{ end }}",
    "{{ and .PodMeta.Name .PodMeta.Nmae }}",
    "{{ or .PodMeta.Name (print .PodMeta.Nmae) }}",
    '{{ define "t" }}{{ .Nmae }}{{ end }}{{ if 1 }}{{ template "t" .PodMeta }}{{ end }}',
  ])("fails only where a condition leads there: %s", (text) => {
    expect(certain(text)).toEqual([false]);
  });

  it("is not what no run executes", () => {
    expect(certain('{{ define "t" }}{{ .PodMeta.Nmae }}{{ end }}')).toEqual([]);
  });
});
