import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { explainedReasons } from "../../scripts/crd-docs/condition-tables.ts";
import { SETTINGS } from "../../scripts/crd-docs/example-cluster.ts";
import type { Manifest } from "../../scripts/crd-docs/example-cluster.ts";
import { generateCrdDocs } from "../../scripts/generate-crd-docs.ts";
import { clusterFederatedTrustDomainSpecSchema } from "../../src/api/cluster-federated-trust-domain.ts";
import { clusterSpiffeIdSpecSchema } from "../../src/api/cluster-spiffe-id.ts";
import { clusterStaticEntrySpecSchema } from "../../src/api/cluster-static-entry.ts";
import { SPIRE_API_VERSION } from "../../src/api/resources.ts";
import { parseCommand } from "../../src/cli/parse-command.ts";
import { RegistrationIndex } from "../../src/registration/index.ts";
import type { CustomResourceKind } from "../../src/registration/index.ts";
import type { InvalidReason } from "../../src/registration/rule.ts";
import { blocks, brokenLinks, commands, documents } from "./markdown.ts";

const SPECS = {
  ClusterSPIFFEID: clusterSpiffeIdSpecSchema,
  ClusterStaticEntry: clusterStaticEntrySpecSchema,
  ClusterFederatedTrustDomain: clusterFederatedTrustDomainSpecSchema,
} as const;
const KINDS = Object.keys(SPECS) as CustomResourceKind[];

const DOCUMENTS = documents();
const onDisk = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

interface Example {
  readonly path: string;
  readonly manifest: Manifest;
}

/** Every object of our kinds in a YAML block. */
const EXAMPLES: Example[] = DOCUMENTS.flatMap((document) =>
  blocks(document, "yaml")
    .flatMap((block) => parseAllDocuments(block).map((parsed) => parsed.toJS() as unknown))
    .filter((object): object is Manifest => isOurs(object))
    .map((manifest) => ({ path: document.path, manifest })),
);

function isOurs(object: unknown): boolean {
  const { apiVersion } = (object ?? {}) as { apiVersion?: unknown };
  return apiVersion === SPIRE_API_VERSION;
}

describe("an example in the documents", () => {
  it("is there for each kind", () => {
    expect(new Set(EXAMPLES.map(({ manifest }) => manifest.kind))).toEqual(new Set(KINDS));
  });

  it.each(EXAMPLES)("has only fields of its kind: $path $manifest.metadata.name", (example) => {
    const { kind, spec } = example.manifest;
    expect(SPECS[kind].parse(spec)).toEqual(spec);
  });

  it.each(EXAMPLES)("would be admitted: $path $manifest.metadata.name", ({ manifest }) => {
    const { kind, metadata, spec } = manifest;
    const index = new RegistrationIndex(SETTINGS);
    expect(index.check(kind, { metadata: { ...metadata, uid: "uid" }, spec })).toEqual([]);
  });
});

describe("a document", () => {
  it.each(DOCUMENTS)("links to what is there: $path", (document) => {
    expect(brokenLinks(document)).toEqual([]);
  });

  it("of a custom resource is up to date", () => {
    const generated = generateCrdDocs();
    expect([...generated.keys()]).toHaveLength(KINDS.length);
    for (const [path, content] of generated) expect(onDisk(path), path).toBe(content);
  });

  it("explains every reason that a custom resource can be invalid for", () => {
    const invalid: Record<InvalidReason, true> = {
      InvalidSpec: true,
      InvalidTemplate: true,
      InvalidSelector: true,
      InvalidDuration: true,
      InvalidTrustDomain: true,
      InvalidSpiffeId: true,
      InvalidDnsName: true,
      InvalidBundle: true,
      InvalidUrl: true,
      NotSupported: true,
    };
    const explained = new Set(KINDS.flatMap(explainedReasons));
    expect(Object.keys(invalid).filter((reason) => !explained.has(reason))).toEqual([]);
  });

  it("on the way from SPIRE says of every field what becomes of it", () => {
    const text = onDisk("docs/migrate-from-spire.md");
    const fields = Object.values(SPECS).flatMap((schema) => Object.keys(schema.shape));
    expect(fields.length).toBeGreaterThan(25);
    expect(fields.filter((field) => !text.includes(`\`${field}\``))).toEqual([]);
  });
});

describe("a command in the documents", () => {
  const all = DOCUMENTS.flatMap((document) => commands(document));
  const signet = all.filter((command) => command.startsWith("kubectl signet "));
  const install = all.filter((command) => /^helm .*charts\/signet/.test(command));

  it.each(signet)("is one that the plugin knows: %s", (command) => {
    const args = command.replace("COMMAND", "entries").split(/\s+/).slice(2);
    expect(() => parseCommand(args)).not.toThrow();
  });

  it.each(install)("sets values that the chart has: %s", (command) => {
    const values = parse(onDisk("charts/signet/values.yaml")) as unknown;
    const set = [...command.matchAll(/--set ([\w.]+)=/g)].map(([, path = ""]) => path);
    expect(set.filter((path) => !has(values, path.split(".")))).toEqual([]);
  });

  it("is found", () => {
    expect(signet.length).toBeGreaterThan(5);
    expect(install.length).toBeGreaterThan(2);
  });
});

function has(value: unknown, path: readonly string[]): boolean {
  const [name, ...rest] = path;
  if (name === undefined) return true;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return false;
  return has((value as Record<string, unknown>)[name], rest);
}
