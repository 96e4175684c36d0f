import { z } from "zod";
import { errorMessage, SignetError } from "../core/errors.ts";
import { parsePem } from "../spiffe/pem.ts";
import { parseCertificate } from "./chain.ts";

const documentSchema = z.object({
  keys: z
    .array(z.object({ use: z.string().optional(), x5c: z.array(z.base64()).optional() }))
    .max(256),
});

/**
 * The DER CA certificates in a SPIFFE bundle document (Trust Domain and Bundle §4.2). Keys of unknown use
 * are passed over, as the standard wants. Throws MALFORMED, also when no authority is left.
 */
export function authoritiesOfDocument(text: string): Buffer[] {
  const parsed = documentSchema.safeParse(parseJson(text));
  if (!parsed.success) throw malformed(parsed.error.issues[0]?.message ?? "wrong shape");
  const authorities = parsed.data.keys
    .filter((key) => key.use === "x509-svid")
    .flatMap((key) => key.x5c?.slice(0, 1) ?? [])
    .map((base64) => Buffer.from(base64, "base64"));
  return checked(authorities);
}

/** The DER CA certificates in a PEM text. Throws MALFORMED, also when there is none. */
export function authoritiesOfPem(text: string): Buffer[] {
  return checked(parsePem("CERTIFICATE", text));
}

function checked(authorities: Buffer[]): Buffer[] {
  if (authorities.length === 0) throw malformed("no X.509 authority");
  for (const der of authorities) parseCertificate(der);
  return authorities;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed(errorMessage(error));
  }
}

function malformed(rule: string): SignetError {
  return new SignetError("MALFORMED", `trust bundle: ${rule}`);
}
