import { randomBytes } from "node:crypto";
import { bitString, contextConstructed, integer, sequence, time } from "./der/write.ts";
import type { Signer } from "./signer.ts";

/** What a certificate says (RFC 5280 §4.1.2), the parts in DER where they are buffers. */
export interface CertificateFields {
  readonly serial: Buffer;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** Milliseconds since the epoch; certificates hold whole seconds, parts of one are cut off. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Buffer;
  readonly extensions: readonly Buffer[];
}

const VERSION_3 = contextConstructed(0, integer(2));
const SERIAL_BYTES = 16;

/**
 * Makes a random serial number: 16 bytes with 126 bits of entropy, positive, of constant length
 * (RFC 5280 §4.1.2.2 allows up to 20 octets).
 */
export function createSerial(): Buffer {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

/** Encodes and signs an X.509 v3 certificate in DER; at once when the signer does. */
export function signCertificate(
  fields: CertificateFields,
  signer: Signer,
): Buffer | Promise<Buffer> {
  const body = sequence(
    VERSION_3,
    integer(fields.serial),
    signer.algorithm,
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.spki,
    contextConstructed(3, sequence(...fields.extensions)),
  );
  const seal = (signature: Buffer): Buffer =>
    sequence(body, signer.algorithm, bitString(signature));
  const signature = signer.sign(body);
  return signature instanceof Promise ? signature.then(seal) : seal(signature);
}
