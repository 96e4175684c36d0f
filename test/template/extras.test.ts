import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import type { TemplateData } from "../../src/template/template.ts";
import { compileTemplate } from "../../src/template/template.ts";

const SPIRE: TemplateData = {
  TrustDomain: "example.org",
  ClusterName: "prod",
  ClusterDomain: "cluster.local",
  PodMeta: { name: "web-1", namespace: "shop" },
};
const DATA: TemplateData = {
  ...SPIRE,
  NamespaceMeta: { name: "shop", labels: { team: "green", "a.b/c": "d" }, uid: "n-1" },
  Owner: { Kind: "Deployment", Name: "web" },
  ServiceAccount: "web-sa",
};

function render(text: string, data: TemplateData): string {
  try {
    return compileTemplate(text).render(data);
  } catch (error) {
    if (isSignetError(error, "TEMPLATE_EXEC")) return error.message;
    throw error;
  }
}

describe("what Signet adds to SPIRE's data", () => {
  it.each([
    ["{{ .NamespaceMeta.Name }}", "shop"],
    ["{{ .NamespaceMeta.Labels.team }}", "green"],
    ['{{ index .NamespaceMeta.Labels "a.b/c" }}', "d"],
    ["{{ with .NamespaceMeta }}{{ .UID }} {{ .GetName }}{{ end }}", "n-1 shop"],
    ["{{ .Owner.Kind }}/{{ .Owner.Name }}", "Deployment/web"],
    ["{{ $.Owner.Name }}", "web"],
    ["{{ .Owner }}", "{Deployment web}"],
    ['{{ printf "%T %+v" .Owner .Owner }}', "spireentry.owner {Kind:Deployment Name:web}"],
    ["{{ .ServiceAccount }}", "web-sa"],
    ['{{ define "x" }}{{ .ServiceAccount }}{{ end }}{{ template "x" . }}', "web-sa"],
    ["{{ range 1 }}{{ $.ServiceAccount }}{{ end }}", "web-sa"],
    ["{{ .Owner.Nope }}", /can't evaluate field Nope in type spireentry\.owner$/],
    ["{{ .NamespaceMeta.Nope }}", /can't evaluate field Nope in type \*v1\.ObjectMeta$/],
  ])("%s", (text, expected) => {
    expect(render(text, DATA)).toMatch(expected);
  });

  it.each([
    ["{{ .NamespaceMeta.Name }}", /nil pointer evaluating \*v1\.ObjectMeta\.Name$/],
    ["{{ .NamespaceMeta.Nope }}", /can't evaluate field Nope in type \*v1\.ObjectMeta$/],
    ["{{ if .NamespaceMeta }}there{{ else }}missing{{ end }}", "missing"],
    ["{{ .NamespaceMeta }}", "nil"],
    ["<{{ .Owner.Kind }}{{ .Owner.Name }}{{ .ServiceAccount }}>", "<>"],
    ["{{ .Owner }}", "{ }"],
  ])("%s without it", (text, expected) => {
    expect(render(text, SPIRE)).toMatch(expected);
  });

  it.each([
    "{{ . }}",
    "{{ print . }}",
    '{{ printf "%+v" . }}',
    '{{ printf "%#v" . }}',
    '{{ printf "%T" . }}',
    "{{ html . }}",
    "{{ len . }}",
    "{{ range . }}{{ end }}",
    '{{ index . "Owner" }}',
    "{{ eq . . }}",
    "{{ .Nope }}",
    "{{ .owner }}",
    "{{ .ServiceAccount.Nope }}",
  ])("does not show in %s", (text) => {
    expect(render(text, DATA)).toBe(render(text, SPIRE));
  });

  it.each<[string, string[]]>([
    ["{{ .NamespaceMeta.Labels.team }}", ["NamespaceMeta.Labels"]],
    ["{{ .NamespaceMeta.GetAnnotations }}", ["NamespaceMeta.Annotations"]],
    ["{{ .NamespaceMeta }}", ["NamespaceMeta"]],
    ["{{ if .NamespaceMeta }}x{{ end }}", []],
    ["{{ .Owner.Kind }}", ["Owner.Kind"]],
    ["{{ .Owner }}", ["Owner"]],
    ["{{ .ServiceAccount }}", ["ServiceAccount"]],
    [
      "{{ $x := 1 }}{{ range 2 }}{{ $x = $ }}{{ $x.Owner.Name }}{{ end }}",
      [
        "ClusterDomain",
        "ClusterName",
        "NamespaceMeta",
        "NodeMeta",
        "NodeSpec",
        "Owner",
        "PodMeta",
        "PodSpec",
        "ServiceAccount",
        "TrustDomain",
      ],
    ],
  ])("is named by the paths of %s", (text, paths) => {
    const template = compileTemplate(text);
    expect(template.paths).toEqual(paths);
    expect(template.usesNamespace).toBe(text.includes("Namespace") || paths.length > 1);
  });

  it("is a problem where it is misspelt", () => {
    const text = "{{ .Owner.Knd }}{{ .ServiceAccountName }}";
    expect(compileTemplate(text).problems.map(({ reason }) => reason)).toEqual([
      "can't evaluate field Knd in type spireentry.owner",
      "can't evaluate field ServiceAccountName in type *spireentry.templateData",
    ]);
  });
});
