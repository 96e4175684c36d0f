import { expect, it } from "vitest";
import { parseSpiffeId } from "../../src/spiffe/id.ts";
import { isReserved, operatorId } from "../../src/spiffe/reserved.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";

it("reserves the operator's own SPIFFE ID and all others below /signet", () => {
  expect(operatorId(parseTrustDomain("td")).uri).toBe("spiffe://td/signet/operator");
  for (const path of ["/signet", "/signet/operator", "/signet/x/y"]) {
    expect(isReserved(parseSpiffeId(`spiffe://td${path}`))).toBe(true);
  }
  for (const path of ["", "/signets", "/ns/signet"]) {
    expect(isReserved(parseSpiffeId(`spiffe://td${path}`))).toBe(false);
  }
});
