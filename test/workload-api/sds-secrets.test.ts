import { createPrivateKey, X509Certificate } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { NodeSchema } from "../../src/rpc/gen/envoy/config/core/v3/base_pb.js";
import { bundlePem } from "../../src/spiffe/bundle.ts";
import { parsePem } from "../../src/spiffe/pem.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import type { EntitledState, WorkloadSvid } from "../../src/workload-api/ports.ts";
import { validatorFor } from "../../src/workload-api/sds-requests.ts";
import { contentHash, SDS_NAMES, secretCatalogs } from "../../src/workload-api/sds-secrets.ts";
import { testDomain } from "../fakes/workload.ts";
import type { TestDomain } from "../fakes/workload.ts";
import { envoyNode, shown } from "./sds-client.ts";

let domain: TestDomain;
let partner: TestDomain;
let web: WorkloadSvid;
let batch: WorkloadSvid;
let state: EntitledState;
beforeAll(async () => {
  [domain, partner] = [await testDomain(), await testDomain("partner.test")];
  web = await domain.svid("/web", { hint: "internal" });
  batch = await domain.svid("/batch");
  state = domain.state([web, batch], [partner]);
});

const catalogOf = (of: EntitledState, names = SDS_NAMES) => secretCatalogs(names)(of);
const finder =
  (of: EntitledState, names = SDS_NAMES) =>
  (name: string, validator: "spiffe" | "trusted-ca") =>
    catalogOf(of, names).find(name, validator);
const find = (name: string, validator: "spiffe" | "trusted-ca" = "spiffe") =>
  shown(catalogOf(state).find(name, validator)?.resource);

describe("the secrets of a workload", () => {
  it("are its own bundle, foreign ones and its SVIDs, under their SPIFFE IDs", () => {
    expect(catalogOf(state).ids).toEqual([
      "spiffe://example.org",
      "spiffe://partner.test",
      "spiffe://example.org/web",
      "spiffe://example.org/batch",
    ]);
  });

  it("are an SVID's chain and key in PEM, under its ID and, for the first, the default name", () => {
    for (const name of ["default", "spiffe://example.org/web"]) {
      const { chain = "", key = "" } = find(name);
      expect(parsePem("CERTIFICATE", chain)).toEqual(web.chain);
      expect(parsePem("PRIVATE KEY", key)).toEqual([web.privateKey]);
      const leaf = new X509Certificate(chain);
      expect(leaf.subjectAltName).toBe("URI:spiffe://example.org/web");
      expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    }
    expect(find("spiffe://example.org/batch").chain).not.toBe(find("default").chain);
  });

  it("give a bundle to SPIFFE's validator with its trust domain, else as a plain list of CAs", () => {
    const own = bundlePem(domain.bundle);
    for (const name of ["ROOTCA", "spiffe://example.org"]) {
      expect(find(name)).toEqual({ name, spiffe: { "example.org": own } });
      expect(find(name, "trusted-ca")).toEqual({ name, trustedCa: own });
    }
    expect(find("spiffe://partner.test")).toEqual({
      name: "spiffe://partner.test",
      spiffe: { "partner.test": bundlePem(partner.bundle) },
    });
  });

  it("give all bundles at once to SPIFFE's validator, and to no other", () => {
    expect(find("ALL").spiffe).toEqual({
      "example.org": bundlePem(domain.bundle),
      "partner.test": bundlePem(partner.bundle),
    });
    expect(() => find("ALL", "trusted-ca")).toThrow(
      /only for Envoy's SPIFFE certificate validator/,
    );
  });

  it("are not found under hints, other IDs or nothing", () => {
    const get = finder(state);
    for (const name of [
      "internal",
      "spiffe://example.org/other",
      "spiffe://x.test",
      "",
      "rootca",
    ]) {
      expect(get(name, "spiffe")).toBeUndefined();
    }
  });

  it("go by configured names, and an empty one is not served", () => {
    const names = { svid: "mine", bundle: "", allBundles: "ROOTCA" };
    const get = finder(state, names);
    expect(catalogOf(state, names).ids).toEqual(catalogOf(state).ids);
    expect(shown(get("mine", "spiffe")?.resource).chain).toBe(find("default").chain);
    expect(shown(get("ROOTCA", "spiffe")?.resource).spiffe).toEqual(find("ALL").spiffe);
    for (const name of ["default", "ALL", ""]) expect(get(name, "spiffe")).toBeUndefined();
  });

  it("hold no bundle without a CA, and no foreign one that goes by the own name", async () => {
    const impostor = await testDomain();
    const empty = { ...partner.bundle, x509Authorities: [] };
    const federatedBundles = new Map([
      [parseTrustDomain("example.org"), impostor.bundle],
      [parseTrustDomain("partner.test"), empty],
    ]);
    const get = finder({ ...state, federatedBundles });
    expect(get("spiffe://partner.test", "spiffe")).toBeUndefined();
    expect(shown(get("ALL", "spiffe")?.resource).spiffe).toEqual({
      "example.org": bundlePem(domain.bundle),
    });
  });

  it("keep the first of SVIDs that share an ID", async () => {
    const again = await domain.svid("/web", { hint: "external" });
    const twice = domain.state([web, again]);
    const get = finder(twice);
    expect(catalogOf(twice).ids).toEqual(["spiffe://example.org", "spiffe://example.org/web"]);
    const { chain = "" } = shown(get("spiffe://example.org/web", "spiffe")?.resource);
    expect(parsePem("CERTIFICATE", chain)).toEqual(web.chain);
  });

  it("have versions that are the same in every process and change with what they are made of", async () => {
    const version = (
      of: EntitledState,
      name: string,
      validator: "spiffe" | "trusted-ca" = "spiffe",
    ) => catalogOf(of).find(name, validator)?.version;
    const copy = structuredClone({ ...state, federatedBundles: undefined });
    const same: EntitledState = {
      ...state,
      svids: copy.svids.map((svid) => ({
        ...svid,
        chain: svid.chain.map((der) => Buffer.from(der)),
      })),
    };
    const renewed = domain.state([await domain.svid("/web"), batch], [partner]);
    const other = await testDomain();
    const rotated = {
      ...state,
      bundle: {
        ...domain.bundle,
        x509Authorities: [...domain.bundle.x509Authorities, ...other.bundle.x509Authorities],
      },
    };
    const alone = domain.state([web, batch]);
    const names = ["default", "spiffe://example.org/batch", "ROOTCA", "ALL"];
    const differs = (of: EntitledState) =>
      names.filter((name) => version(of, name) !== version(state, name));
    expect(differs(same)).toEqual([]);
    expect(differs(renewed)).toEqual(["default"]);
    expect(differs(rotated)).toEqual(["ROOTCA", "ALL"]);
    expect(differs(alone)).toEqual(["ALL"]);
    expect(version(state, "ROOTCA", "trusted-ca")).not.toBe(version(state, "ROOTCA"));
    expect(new Set(names.map((name) => version(state, name))).size).toBe(names.length);
  });

  it("are made once for each state", () => {
    const of = secretCatalogs(SDS_NAMES);
    expect(of(state).find("default", "spiffe")).toBe(of(state).find("default", "spiffe"));
    expect(of({ ...state })).not.toBe(of(state));
  });
});

it("a hash knows the borders of its parts", () => {
  expect(contentHash(["ab", "c"])).not.toBe(contentHash(["a", "bc"]));
  expect(contentHash(["ab", Buffer.from("c")])).toBe(contentHash(["ab", "c"]));
});

describe("the validator", () => {
  const spiffe = (node: Parameters<typeof create<typeof NodeSchema>>[1], disabled = false) =>
    validatorFor(node && create(NodeSchema, node), disabled) === "spiffe";

  it("is SPIFFE's from Envoy 1.18 on", () => {
    expect([17, 18, 40].map((minor) => spiffe(envoyNode(minor)))).toEqual([false, true, true]);
    const next = { case: "userAgentBuildVersion", value: { version: { majorNumber: 2 } } } as const;
    expect(spiffe({ userAgentVersionType: next })).toBe(true);
  });

  it("is a list of CAs for clients that tell no version that can be compared", () => {
    expect(spiffe(undefined)).toBe(false);
    expect(spiffe({ userAgentVersionType: { case: "userAgentVersion", value: "1.40.0" } })).toBe(
      false,
    );
    expect(spiffe({ userAgentVersionType: { case: "userAgentBuildVersion", value: {} } })).toBe(
      false,
    );
  });

  it.each([
    [true, false, false],
    ["true", false, false],
    ["1", false, false],
    [false, true, true],
    ["F", true, true],
    ["yes", false, true],
    ["yes", true, false],
    [1, false, true],
    ["", true, false],
  ])(
    "is switched by the metadata %j where it is %s that it is off",
    (value, disabled, expected) => {
      const node = envoyNode(40, { disable_spiffe_cert_validation: value });
      expect(spiffe(node, disabled)).toBe(expected);
    },
  );
});
