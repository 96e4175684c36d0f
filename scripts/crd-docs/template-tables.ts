import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { BUILTIN_NAMES } from "../../src/template/builtin-names.ts";
import { DEFAULT_LIMITS } from "../../src/template/limits.ts";
import type { Limits } from "../../src/template/limits.ts";
import { DATA_TYPE, EXTRA_FIELDS } from "../../src/template/types.ts";
import { refusalsOf, tryOut } from "./example-cluster.ts";
import type { Manifest, Outcome } from "./example-cluster.ts";
import { code, table } from "./markdown.ts";

type TemplateField = "spiffeIDTemplate" | "dnsNameTemplates" | "workloadSelectorTemplates";

interface Templates {
  readonly examples: readonly {
    readonly want: string;
    readonly field: TemplateField;
    readonly template: string;
  }[];
  readonly mistakes: readonly { readonly template: string; readonly instead: string }[];
}

const TEMPLATES = parse(
  readFileSync(join(import.meta.dirname, "templates.yaml"), "utf8"),
) as Templates;

/** What each name of the data object is. */
const DATA: Readonly<Record<string, string>> = {
  TrustDomain: "the operator's trust domain, such as `example.org`",
  ClusterName: "the chart's `clusterName`",
  ClusterDomain: "the chart's `clusterDomain`, the DNS suffix of Services",
  PodMeta: "the pod's metadata: name, namespace, UID, labels, annotations, owners",
  PodSpec: "the pod's spec: service account, node, containers, and so on",
  NodeMeta: "the metadata of the pod's node",
  NodeSpec: "the spec of the pod's node",
  NamespaceMeta: "the metadata of the pod's namespace",
  Owner:
    "`.Owner.Kind` and `.Owner.Name` of the object that the pod belongs to in the end: the Deployment rather " +
    "than its ReplicaSet, and a pod that nothing owns itself",
  ServiceAccount: "the name of the pod's service account",
};

const LIMITS: Readonly<Record<keyof Limits, string>> = {
  templateBytes: "bytes of a template",
  outputBytes: "bytes of the result",
  workBytes: "bytes of all values that are made on the way",
  steps: "steps of one rendering",
  nesting: "nested blocks and parentheses in a template",
  depth: "nested blocks and template calls while it runs",
};

/** The names that a template can use, with their Go types; Signet's own come last. */
export function dataTable(): string {
  const rows = [...DATA_TYPE.fields, ...EXTRA_FIELDS].map(({ name, type }) => {
    const meaning = DATA[name];
    if (meaning === undefined) throw new Error(`template-tables.ts does not say what .${name} is`);
    return [code(`.${name}`), code(type.text), meaning];
  });
  return table(["name", "Go type", "is"], rows);
}

export function functionList(): string {
  return [...BUILTIN_NAMES].toSorted().map(code).join(", ");
}

export function limitTable(): string {
  const rows = Object.entries(LIMITS).map(([name, what]) => [
    what,
    DEFAULT_LIMITS[name as keyof Limits].toLocaleString("en"),
  ]);
  return table(["at most", ""], rows);
}

/** Templates that work, with what they give. */
export function exampleTable(): string {
  const rows = TEMPLATES.examples.map(({ want, field, template }) => [
    want,
    code(template),
    code(resultOf(field, template)),
  ]);
  return table(["wanted", "template", "gives"], rows);
}

/** Templates that do not work, with the message that says so and when it comes. */
export function mistakeTable(): string {
  const rows = TEMPLATES.mistakes.map(({ template, instead }) => {
    const manifest = manifestOf("spiffeIDTemplate", template);
    const refusal = refusalsOf(manifest)[0]?.message;
    const message = refusal ?? messageOf(tryOut([manifest]));
    if (message === undefined) throw new Error(`templates.yaml: no mistake: ${template}`);
    const when = refusal === undefined ? "for the pod" : "when applied";
    return [code(template), code(message.replace(/^spec\.spiffeIDTemplate: /, "")), when, instead];
  });
  return table(["template", "message", "comes", "write instead"], rows);
}

function manifestOf(field: TemplateField, template: string): Manifest {
  const spec: Record<TemplateField, unknown> = {
    spiffeIDTemplate: field === "spiffeIDTemplate" ? template : "spiffe://{{ .TrustDomain }}/x",
    dnsNameTemplates: field === "dnsNameTemplates" ? [template] : [],
    workloadSelectorTemplates: field === "workloadSelectorTemplates" ? [template] : [],
  };
  return { kind: "ClusterSPIFFEID", metadata: { name: "example" }, spec };
}

/** What keeps the only object from giving the example pod an entry. */
function messageOf({ statuses }: Outcome): string | undefined {
  const status = statuses.get("example");
  if (status === undefined || status.ready) return undefined;
  const failure = "failures" in status ? status.failures[0] : undefined;
  return failure?.message ?? status.message;
}

function resultOf(field: TemplateField, template: string): string {
  const outcome = tryOut([manifestOf(field, template)]);
  const [entry] = outcome.entries;
  if (!entry) throw new Error(`templates.yaml: ${template}: ${messageOf(outcome)}`);
  const selector = entry.selectors.at(-1);
  const results: Record<TemplateField, string | undefined> = {
    spiffeIDTemplate: entry.spiffeId,
    dnsNameTemplates: entry.dnsNames[0],
    workloadSelectorTemplates: selector && `${selector.type}:${selector.value}`,
  };
  return results[field] ?? "";
}
