import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { CHART, findHelm, helm } from "./helm.ts";

interface Schema {
  readonly additionalProperties?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const read = (file: string): string => readFileSync(join(CHART, file), "utf8");
const schema = JSON.parse(read("values.schema.json")) as Schema;
const values = parse(read("values.yaml")) as Record<string, unknown>;

/** Paths of the schema's properties, down to where it leaves the content open. */
function schemaPaths(node: Schema, path = ""): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    child.properties ? schemaPaths(child, `${path}${key}.`) : [`${path}${key}`],
  );
}

function lookup(path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], values);
}

describe("the chart's values", () => {
  it("pass helm's strict lint", async () => {
    const { code, output } = await helm("lint", "--strict", CHART);
    expect(output).not.toMatch(/\[(WARNING|ERROR)\]/);
    expect(code).toBe(0);
  });

  it("are all in values.yaml with a default, and all in the schema", () => {
    // `global` is Helm's own; resources.claims has no sensible default.
    const free = new Set(["global", "operator.resources.claims", "agent.resources.claims"]);
    const paths = schemaPaths(schema).filter((path) => !free.has(path));
    expect(paths.filter((path) => lookup(path) === undefined)).toEqual([]);
    expect(Object.keys(values).toSorted()).toEqual(
      Object.keys(schema.properties ?? {})
        .filter((key) => key !== "global")
        .toSorted(),
    );
  });

  it.each([
    "unknown=1",
    "crds.unknown=1",
    "csi.unknown=1",
    "image.unknown=1",
    "injection.unknown=1",
    "validation.unknown=1",
    "operator.unknown=1",
    "operator.resources.unknown=1",
    "agent.unknown=1",
    "agent.serviceAccount.unknown=1",
  ])("are refused with an unknown key: %s", async (set) => {
    const { code, output } = await helm("template", CHART, "--set", set);
    expect(output).toContain("additional properties 'unknown' not allowed");
    expect(code).not.toBe(0);
  });

  it.each([
    ["trustDomain", "Prod.Example"],
    ["trustDomain", "prod..example"],
    ["trustDomain", "spiffe://prod"],
    ["trustDomain", ""],
    ["trustDomain", "a".repeat(256)],
    ["x509SvidTtl", "1 hour"],
    ["jwtSvidTtl", "5 minutes"],
    ["jwtAlgorithm", "HS256"],
    ["jwtIssuer", "http://oidc.example.org"],
    ["jwtClaims.sub", "x"],
    ["logLevel", "loud"],
    ["kubeletDir", "var/lib/kubelet"],
    ["kubeletDir", "/var/lib/../kubelet/"],
    ["image.digest", "latest"],
    ["operator.replicas", "0"],
    ["csi.driverName", "Csi/Spiffe"],
    ["validation.failurePolicy", "ignore"],
    ["validation.timeoutSeconds", "2"],
  ])("are refused where %s is %j", async (key, value) => {
    const flag = /^\d+$/.test(value) ? "--set" : "--set-string";
    const { code, output } = await helm("template", CHART, flag, `${key}=${value}`);
    expect(output).toContain(`at '/${key.replace(".", "/")}'`);
    expect(code).not.toBe(0);
  });

  it("name what to do where helm is missing", () => {
    const nowhere = { PATH: "/nonexistent", SIGNET_CACHE: "/nonexistent" };
    expect(() => findHelm(nowhere)).toThrow(/install Helm .* SIGNET_HELM/);
  });
});
