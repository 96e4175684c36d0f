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
