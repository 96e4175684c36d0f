import { SignetError } from "../core/errors.ts";
import { OID } from "./der/oid.ts";
import { derReader } from "./der/read.ts";
import type { DerReader } from "./der/read.ts";
import { contextTag, TAG } from "./der/tag.ts";
import { KEY_USAGE } from "./extensions.ts";
import type { KeyUsage } from "./extensions.ts";

/** What an authority's certificate says; distinguished names and keys in DER. */
export interface CertificateInfo {
  readonly serial: Buffer;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Buffer;
  readonly isCa: boolean;
  readonly keyUsages: readonly KeyUsage[];
  readonly keyIdentifier: Buffer | undefined;
  readonly uris: readonly string[];
}

const MAX_CERTIFICATE_BYTES = 64 * 1024;
const MAX_EXTENSIONS = 64;
const URI = contextTag(6, "primitive");
const WHAT = "certificate";

/**
 * Reads the fields of an X.509 v3 certificate (RFC 5280 §4.1); does not verify its signature.
 * Throws MALFORMED for anything that is not strict DER, and for a repeated extension.
 */
export function readCertificate(der: Buffer): CertificateInfo {
  if (der.length > MAX_CERTIFICATE_BYTES) throw malformed(`has ${der.length} bytes`);
  const outer = derReader(der, WHAT);
  const certificate = outer.enter();
  outer.end();
  const body = certificate.enter();
  const outerAlgorithm = certificate.read(TAG.SEQUENCE).encoded;
  certificate.bits();
  certificate.end();
  const version = body.enter(contextTag(0, "constructed"));
  if (!version.unsigned().equals(Buffer.of(2))) throw malformed("is not of version 3");
  version.end();
  const serial = body.unsigned();
  if (!body.read(TAG.SEQUENCE).encoded.equals(outerAlgorithm))
    throw malformed("names two signature algorithms");
  const issuer = body.read(TAG.SEQUENCE).encoded;
  const validity = body.enter();
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.end();
  const subject = body.read(TAG.SEQUENCE).encoded;
  const spki = body.read(TAG.SEQUENCE).encoded;
  const extensions = readExtensions(body);
  return { serial, issuer, subject, notBefore, notAfter, spki, ...interpret(extensions) };
}

function readExtensions(body: DerReader): Map<string, Buffer> {
  const extensions = new Map<string, Buffer>();
  if (body.peek() === undefined) return extensions;
  const wrapper = body.enter(contextTag(3, "constructed"));
  body.end();
  const list = wrapper.enter();
  wrapper.end();
  while (list.peek() !== undefined) {
    const extension = list.enter();
    const id = extension.oid();
    if (extension.peek() === TAG.BOOLEAN && !extension.boolean())
      throw malformed("encodes a default value");
    const { content } = extension.read(TAG.OCTET_STRING);
    extension.end();
    if (extensions.has(id)) throw malformed(`has extension ${id} twice`);
    if (extensions.size === MAX_EXTENSIONS) throw malformed("has too many extensions");
    extensions.set(id, content);
  }
  return extensions;
}

function interpret(
  extensions: ReadonlyMap<string, Buffer>,
): Pick<CertificateInfo, "isCa" | "keyUsages" | "keyIdentifier" | "uris"> {
  const part = <T>(id: string, absent: T, read: (reader: DerReader) => T): T => {
    const content = extensions.get(id);
    if (content === undefined) return absent;
    const reader = derReader(content, WHAT);
    const value = read(reader);
    reader.end();
    return value;
  };
  return {
    isCa: part(OID.basicConstraints, false, readIsCa),
    keyUsages: part<KeyUsage[]>(OID.keyUsage, [], readKeyUsages),
    keyIdentifier: part<Buffer | undefined>(
      OID.subjectKeyIdentifier,
      undefined,
      (r) => r.read(TAG.OCTET_STRING).content,
    ),
    uris: part<string[]>(OID.subjectAltName, [], readUris),
  };
}

function readIsCa(reader: DerReader): boolean {
  const constraints = reader.enter();
  const isCa = constraints.peek() === TAG.BOOLEAN && constraints.boolean();
  if (constraints.peek() !== undefined) constraints.unsigned();
  constraints.end();
  return isCa;
}

function readKeyUsages(reader: DerReader): KeyUsage[] {
  const { content } = reader.read(TAG.BIT_STRING);
  const isSet = (bit: number): boolean =>
    (((content[1 + Math.floor(bit / 8)] ?? 0) << (bit % 8)) & 0x80) !== 0;
  return (Object.keys(KEY_USAGE) as KeyUsage[]).filter((usage) => isSet(KEY_USAGE[usage]));
}

function readUris(reader: DerReader): string[] {
  const names = reader.enter();
  const uris: string[] = [];
  for (let tag = names.peek(); tag !== undefined; tag = names.peek()) {
    const { content } = names.read(tag);
    if (tag === URI) uris.push(content.toString("latin1"));
  }
  return uris;
}

function malformed(rule: string): SignetError {
  return new SignetError("MALFORMED", `${WHAT} ${rule}`);
}
