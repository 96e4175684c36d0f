import { describe, expect, it } from "vitest";
import { compileClaims } from "../../src/issuer/jwt-claims.ts";
import type { PodClaims } from "../../src/issuer/jwt-claims.ts";
import type { PodObject } from "../../src/registration/objects.ts";

const POD: PodObject = {
  metadata: {
    name: "web-1",
    namespace: "shop",
    uid: "uid-1",
    labels: { team: "blue", "pod-template-hash": "abc" },
    ownerReferences: [{ kind: "ReplicaSet", name: "web-abc", uid: "u", controller: true }],
  },
  spec: { nodeName: "node-a", serviceAccountName: "web" },
};

const compile = (jwtClaims: Record<string, string>): PodClaims =>
  compileClaims({
    jwtClaims,
    trustDomain: "example.org",
    clusterName: "kind",
    clusterDomain: "cluster.local",
  });
const render = (text: string): unknown => compile({ c: text })(POD)["c"];
const refusal = (jwtClaims: Record<string, string>): Error & { code?: string } => {
  try {
    compile(jwtClaims);
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was thrown");
};

describe("declared claims", () => {
  it.each([
    [
      "{{ .TrustDomain }}/{{ .ClusterName }}/{{ .ClusterDomain }}",
      "example.org/kind/cluster.local",
    ],
    ["{{ .PodMeta.Namespace }}/{{ .PodMeta.Name }}/{{ .PodMeta.UID }}", "shop/web-1/uid-1"],
    ['{{ index .PodMeta.Labels "team" }}', "blue"],
    ["{{ .PodSpec.NodeName }} {{ .PodSpec.ServiceAccountName }}", "node-a web"],
    ["{{ .ServiceAccount }}", "web"],
    ["{{ .Owner.Kind }} {{ .Owner.Name }}", "Deployment web"],
    ["fixed", "fixed"],
  ])("are templates over what is known of every pod: %s", (text, value) => {
    expect(render(text)).toBe(value);
  });

  it("are left out where they come out empty", () => {
    expect(compile({ a: '{{ index .PodMeta.Labels "none" }}', b: "x" })(POD)).toEqual({ b: "x" });
  });

  it.each<[string, Record<string, string> | undefined]>([
    ["other labels", { team: "blue" }],
    ["no labels", undefined],
  ])("never say <no value> of a pod with %s", (_what, labels) => {
    const claims = compile({
      a: "{{ .PodMeta.Labels.tier }}",
      b: "{{ .PodMeta.Namespace }}/{{ .PodMeta.Labels.tier }}",
      c: "{{ with .PodMeta }}{{ .Labels.tier }}{{ end }}",
    });
    const metadata = { ...POD.metadata, labels };
    expect(claims({ ...POD, metadata })).toEqual({ b: "shop/" });
  });

  it("may be none", () => {
    expect(compile({})(POD)).toEqual({});
  });

  it.each(["iss", "sub", "aud", "exp", "nbf", "iat", "jti"])(
    "cannot be the registered claim %s",
    (claim) => {
      expect(refusal({ fine: "x", [claim]: "x" })).toMatchObject({
        code: "INVALID_ARGUMENT",
        message: `configuration is invalid: operator.jwtClaims["${claim}"]: is a registered claim, which the CA sets; declare another name`,
      });
    },
  );

  it.each<[string, Record<string, string>, RegExp]>([
    ["an empty name", { "": "x" }, /jwtClaims\[""\]: a claim's name/],
    ["a name with a space", { "a b": "x" }, /jwtClaims\["a b"\]: a claim's name/],
    ["a long name", { ["n".repeat(129)]: "x" }, /a claim's name has 1 to 128/],
    ["the name of a prototype", JSON.parse('{"__proto__":"x"}'), /__proto__"\]: a claim's name/],
    ["a template that does not parse", { c: "{{ .TrustDomain" }, /jwtClaims\["c"\]: .*unclosed/],
    ["an unknown field", { c: "{{ .PodMeta.Nome }}" }, /jwtClaims\["c"\]: .*Nome/],
    [
      "what only some pods are kept with",
      { c: "{{ .PodMeta.Annotations }}" },
      /\.PodMeta\.Annotations is not known of every pod; there are .*\.PodMeta\.Labels/,
    ],
    ["a node", { c: "{{ .NodeMeta.Name }}" }, /\.NodeMeta\.Name is not known/],
    ["all of a pod", { c: "{{ .PodMeta }}" }, /\.PodMeta is not known/],
    ["a long template", { c: "x".repeat(1025) }, /longer than 1024 bytes/],
    [
      "too many",
      Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`c${at}`, "x"])),
      /operator\.jwtClaims: at most 16/,
    ],
  ])("are refused at start for %s", (_what, claims, rule) => {
    expect(refusal(claims)).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(rule) as string,
    });
  });

  it("fail with the claim's name for a pod whose value would be too long", () => {
    const claims = compile({ c: '{{ index .PodMeta.Labels "a" }}' });
    const labels = { a: "x".repeat(1025) };
    expect(() => claims({ ...POD, metadata: { ...POD.metadata, labels } })).toThrow(
      expect.objectContaining({
        code: "TEMPLATE_EXEC",
        message: expect.stringContaining('operator.jwtClaims["c"]: ') as string,
      }),
    );
  });
});
