import { describe, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";
import type { TemplateData } from "../../src/template/template.ts";

const DATA: TemplateData = {
  TrustDomain: "example.org",
  ClusterName: "prod",
  ClusterDomain: "cluster.local",
  PodMeta: { name: "web-1", namespace: "shop", labels: { app: "web" } },
  PodSpec: { serviceAccountName: "web-sa", containers: [{ name: "app" }] },
  NodeMeta: { name: "node-1", uid: "u-1" },
  NodeSpec: {},
};

function failure(run: () => unknown): SignetError {
  try {
    run();
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("compileTemplate", () => {
  it("renders the default template", () => {
    const text =
      "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";
    const template = compileTemplate(text);
    expect(template.render(DATA)).toBe("spiffe://example.org/ns/shop/sa/web-sa");
    expect(template.problems).toEqual([]);
  });

  it("says where a template does not parse, and at what", () => {
    const error = failure(() => compileTemplate("ok\n  {{ .PodMeta.Name }"));
    expect(error.code).toBe("TEMPLATE_PARSE");
    expect(error.message).toBe('2:20: unexpected "}" in operand, near "}"');
    expect(error.details).toMatchObject({ line: 2, column: 20 });
  });

  it("refuses functions that Go's text/template does not have", () => {
    const error = failure(() => compileTemplate("{{ .PodMeta.Name | upper }}"));
    expect(error.code).toBe("TEMPLATE_PARSE");
    expect(error.message).toContain('1:20: function "upper" not defined');
  });

  it("refuses a method that Go has and Signet does not, by name and place", () => {
    const error = failure(() => compileTemplate("{{ .PodMeta.SwaggerDoc }}"));
    expect(error.code).toBe("TEMPLATE_PARSE");
    expect(error.message).toContain("method SwaggerDoc of v1.ObjectMeta is not supported");
    expect(error.details).toMatchObject({ line: 1 });
  });

  it("finds unknown fields before anything runs, as Go would word them", () => {
    const text = "{{ .PodMeta.Nmae }}{{ with .PodSpec }}{{ .NodeName }}{{ .nodeName }}{{ end }}";
    expect(compileTemplate(text).problems).toEqual([
      {
        line: 1,
        column: 12,
        node: ".PodMeta.Nmae",
        reason: "can't evaluate field Nmae in type *v1.ObjectMeta",
        certain: true,
      },
      {
        line: 1,
        column: 57,
        node: ".nodeName",
        reason: "can't evaluate field nodeName in type *v1.PodSpec",
        certain: false,
      },
    ]);
  });

  it("follows variables and template calls to unknown fields", () => {
    const text =
      '{{ $m := .NodeMeta }}{{ $m.Nope }}{{ define "x" }}{{ .Foo }}{{ end }}{{ template "x" $m }}';
    const reasons = compileTemplate(text).problems.map(({ reason }) => reason);
    expect(reasons).toEqual([
      "can't evaluate field Nope in type *v1.ObjectMeta",
      "can't evaluate field Foo in type *v1.ObjectMeta",
    ]);
  });

  it("reports execution errors with place, node and Go's words", () => {
    const error = failure(() => compileTemplate("x {{ .PodMeta.Nope }}").render(DATA));
    expect(error.code).toBe("TEMPLATE_EXEC");
    expect(error.message).toBe(
      "1:14: at <.PodMeta.Nope>: can't evaluate field Nope in type *v1.ObjectMeta",
    );
  });

  it("keeps its name apart from what it defines unless it is given one", () => {
    const text = '{{ define "t" }}x{{ end }}y';
    expect(compileTemplate(text).render(DATA)).toBe("y");
    const error = failure(() => compileTemplate(text, { name: "t" }));
    expect(error.message).toContain('multiple definition of template "t"');
  });

  it("refuses data of another type than Kubernetes gives the field", () => {
    const template = compileTemplate("{{ .PodMeta.Name }}");
    const error = failure(() => template.render({ ...DATA, PodMeta: { name: 5 } }));
    expect(error.code).toBe("TEMPLATE_EXEC");
    expect(error.message).toContain("the data at name is no string");
  });

  it("never reads what JavaScript objects inherit", () => {
    const text =
      '{{ .PodMeta.Labels.constructor }}|{{ index .PodMeta.Labels "__proto__" }}|{{ .PodMeta.Labels.toString }}';
    expect(compileTemplate(text).render(DATA)).toBe("<no value>||<no value>");
    const labels = JSON.parse('{"__proto__": "own", "constructor": "mine"}') as object;
    const own = { ...DATA, PodMeta: { labels } };
    expect(compileTemplate(text).render(own)).toBe("mine|own|<no value>");
  });

  it("refuses to print an address, which differs from run to run", () => {
    const data = { ...DATA, PodSpec: { priority: 5 } };
    expect(compileTemplate("{{ .PodSpec.Priority }}").render(data)).toBe("5");
    const error = failure(() => compileTemplate("{{ print .PodSpec.Priority }}").render(data));
    expect(error.message).toContain("printing the address of *int32 is not supported");
  });
});

function paths(text: string) {
  const { paths: used, usesPod, usesNode } = compileTemplate(text);
  return { used, usesPod, usesNode };
}

describe("Template.paths", () => {
  it.each<[string, string[], boolean, boolean]>([
    ["static", [], false, false],
    ["{{ .TrustDomain }}", ["TrustDomain"], false, false],
    ["{{ .PodMeta.Labels.app }}", ["PodMeta.Labels"], true, false],
    ['{{ index .PodMeta.Labels "a" }}', ["PodMeta.Labels"], true, false],
    ["{{ .NodeMeta.UID }}", ["NodeMeta.UID"], false, true],
    ["{{ with .PodMeta }}{{ .Name }}{{ end }}", ["PodMeta.Name"], true, false],
    ["{{ if .PodMeta }}x{{ end }}", [], true, false],
    [
      "{{ $m := .PodMeta }}{{ $m.Name }}{{ $.NodeSpec.PodCIDR }}",
      ["NodeSpec.PodCIDR", "PodMeta.Name"],
      true,
      true,
    ],
    ["{{ range .PodSpec.Containers }}{{ .Image }}{{ end }}", ["PodSpec.Containers"], true, false],
    ["{{ (index .PodSpec.Containers 0).Image }}", ["PodSpec.Containers"], true, false],
    ["{{ .PodMeta.GetName }}", ["PodMeta.Name"], true, false],
    ["{{ .PodMeta.CreationTimestamp.Unix }}", ["PodMeta.CreationTimestamp"], true, false],
    ["{{ .PodMeta }}", ["PodMeta"], true, false],
    ["{{ .PodMeta.String }}", ["PodMeta"], true, false],
    [
      '{{ define "x" }}{{ .Name }}{{ end }}{{ template "x" .NodeMeta }}',
      ["NodeMeta.Name"],
      false,
      true,
    ],
    ["{{ (or .PodMeta .NodeMeta).Name }}", ["NodeMeta", "PodMeta"], true, true],
    [
      "{{ $x := .PodMeta }}{{ range 2 }}{{ $x.Name }}{{ $x = .NodeMeta }}{{ end }}",
      ["PodMeta"],
      true,
      false,
    ],
    ["{{ .PodSpec.SecurityContext.RunAsUser }}", ["PodSpec.SecurityContext"], true, false],
  ])("of %s", (text, used, usesPod, usesNode) => {
    expect(paths(text)).toEqual({ used, usesPod, usesNode });
  });

  it("are all of the data when the data object itself is printed", () => {
    expect(paths("{{ . }}").used).toEqual([
      "ClusterDomain",
      "ClusterName",
      "NodeMeta",
      "NodeSpec",
      "PodMeta",
      "PodSpec",
      "TrustDomain",
    ]);
  });
});
