import { expect, it } from "vitest";
import { parseConfig } from "../../src/core/config.ts";

const minimal = { trustDomain: "example.org", agent: { operatorAddress: "operator:8443" } };

it("fills in defaults, durations in milliseconds", () => {
  const config = parseConfig(JSON.stringify(minimal));
  expect(config.operator.x509SvidTtl).toBe(3_600_000);
  expect(config.operator.inspectPort).toBe(8090);
  expect(config.agent.driverName).toBe("csi.spiffe.io");
});

it("reads composed durations", () => {
  const config = parseConfig(
    JSON.stringify({ ...minimal, operator: { x509SvidTtl: "1h30m", caTtl: "90s" } }),
  );
  expect(config.operator.x509SvidTtl).toBe(5_400_000);
  expect(config.operator.caTtl).toBe(90_000);
});

it("names every field that is wrong", () => {
  const bad = { ...minimal, logLevel: "loud", operator: { x509SvidTtl: "soon" }, typo: 1 };
  expect(() => parseConfig(JSON.stringify(bad))).toThrow(/logLevel.*operator\.x509SvidTtl.*typo/s);
});

it("refuses what is not JSON", () => {
  expect(() => parseConfig("trustDomain: x")).toThrow("not JSON");
});

it("has defaults for JWT-SVIDs, and leaves the lifetime of keys to the CA's", () => {
  const { operator } = parseConfig(JSON.stringify(minimal));
  expect(operator).toMatchObject({
    jwtSvidTtl: 300_000,
    jwtAlgorithm: "ES256",
    jwtIssuer: "",
    jwtClaims: {},
  });
  expect(operator.jwtKeyTtl).toBeUndefined();
});

it.each(["https://oidc.example.org", "https://oidc.example.org:8443/a/b", ""])(
  "takes the issuer %j for JWT-SVIDs",
  (jwtIssuer) => {
    const config = parseConfig(JSON.stringify({ ...minimal, operator: { jwtIssuer } }));
    expect(config.operator.jwtIssuer).toBe(jwtIssuer);
  },
);

it.each<[string, object]>([
  ["jwtAlgorithm", { jwtAlgorithm: "HS256" }],
  ["jwtAlgorithm", { jwtAlgorithm: "none" }],
  ["jwtSvidTtl", { jwtSvidTtl: "10ms" }],
  ["jwtKeyTtl", { jwtKeyTtl: "" }],
  ["jwtIssuer", { jwtIssuer: "http://oidc.example.org" }],
  ["jwtIssuer", { jwtIssuer: "https://user@oidc.example.org" }],
  ["jwtIssuer", { jwtIssuer: "https://oidc.example.org/?a" }],
  ["jwtIssuer", { jwtIssuer: "https:///a" }],
  ["jwtIssuer", { jwtIssuer: "https://exa mple.org" }],
  ["jwtClaims", { jwtClaims: { a: 1 } }],
])("refuses a bad operator.%s: %j", (field, operator) => {
  expect(() => parseConfig(JSON.stringify({ ...minimal, operator }))).toThrow(`operator.${field}`);
});
