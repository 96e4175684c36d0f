import { SignetError } from "../core/errors.ts";

declare const trustDomainBrand: unique symbol;
/** The name of a trust domain that passed `parseTrustDomain`, without scheme. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

/** SPIFFE-ID §2.3: the host of a URI holds at most 255 bytes. */
export const MAX_TRUST_DOMAIN_BYTES = 255;

const NAME = /^[a-z0-9._-]+$/;

/**
 * Checks the name of a trust domain (SPIFFE-ID §2.1) and brands it.
 * Throws INVALID_SPIFFE_ID with the rule that is broken.
 */
export function parseTrustDomain(name: string): TrustDomain {
  if (name === "") throw invalid(name, "trust domain is missing");
  if (name.length > MAX_TRUST_DOMAIN_BYTES) {
    throw invalid(name.slice(0, 64), `trust domain is longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`);
  }
  if (!NAME.test(name)) {
    throw invalid(
      name,
      "trust domain may hold only lower-case letters, digits, dots, dashes and underscores",
    );
  }
  return name as TrustDomain;
}

/**
 * Says why a legal trust domain would still break common software, or undefined.
 * Go's crypto/x509 refuses URI SANs whose host has an empty label, so such names cannot be installed.
 */
export function trustDomainHazard(name: TrustDomain): string | undefined {
  return name.split(".").includes("")
    ? `trust domain ${JSON.stringify(name)} has an empty label; Go programs cannot parse certificates that carry it`
    : undefined;
}

function invalid(name: string, rule: string): SignetError {
  return new SignetError("INVALID_SPIFFE_ID", `${rule}: ${JSON.stringify(name)}`);
}
