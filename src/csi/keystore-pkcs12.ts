import { createCipheriv, createHash, createHmac, pbkdf2Sync } from "node:crypto";
import {
  contextConstructed,
  element,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  setOf,
} from "../ca/der/write.ts";
import { authorityAlias, KEY_ALIAS, keySalt, publicSalt } from "./keystore.ts";
import type { KeyEntry } from "./keystore.ts";
import { pkcs12Kdf } from "./keystore-pkcs12-kdf.ts";

/** RFC 7292 §4 and appendix D, RFC 8018 appendix A, RFC 5652 §4. */
const OIDS = {
  data: "1.2.840.113549.1.7.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  localKeyId: "1.2.840.113549.1.9.21",
  pbes2: "1.2.840.113549.1.5.13",
  pbkdf2: "1.2.840.113549.1.5.12",
  hmacSha256: "1.2.840.113549.2.9",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
  sha256: "2.16.840.1.101.3.4.2.1",
  /** Oracle's mark of a trusted certificate: without it Java sees no entry. */
  trustedKeyUsage: "2.16.840.1.113894.746875.1.1",
  anyExtendedKeyUsage: "2.5.29.37.0",
} as const;

const BMP_STRING = 0x1e;
/** A millisecond each. More would cost time at each rotation and keep nobody out: the password is in the pod's spec. */
const KEY_ITERATIONS = 2048;
const MAC_ITERATIONS = 1024;
const SALT_BYTES = 16;

/**
 * A PKCS#12 keystore with one key entry: the key in PBES2 (AES-256-CBC), the certificates open, and a MAC with
 * HMAC-SHA-256; Java 8u301, 11.0.12 and later read it. `password` is ASCII.
 */
export function pkcs12Keystore(entry: KeyEntry, password: string): Buffer {
  const [leaf = Buffer.alloc(0), ...issuers] = entry.chain;
  const id = createHash("sha1").update(leaf).digest();
  const pair = [attribute(OIDS.localKeyId, octetString(id)), friendlyName(KEY_ALIAS)];
  const certificates = [certBag(leaf, pair), ...issuers.map((der) => certBag(der, []))];
  const key = bag(OIDS.shroudedKeyBag, encryptKey(entry, password), pair);
  return pfx([certificates, [key]], { password, salt: keySalt(entry, "mac", SALT_BYTES) });
}

/** A PKCS#12 keystore that Java reads as trusted certificates. `password` is ASCII. */
export function pkcs12Truststore(authorities: readonly Buffer[], password: string): Buffer {
  const trusted = attribute(OIDS.trustedKeyUsage, oid(OIDS.anyExtendedKeyUsage));
  const bags = authorities.map((der, at) =>
    certBag(der, [friendlyName(authorityAlias(at)), trusted]),
  );
  return pfx([bags], { password, salt: publicSalt(authorities, "mac", SALT_BYTES) });
}

interface MacOptions {
  readonly password: string;
  readonly salt: Buffer;
}

/** PFX (RFC 7292 §4): safes of bags, and a MAC over them. */
function pfx(safes: readonly (readonly Buffer[])[], { password, salt }: MacOptions): Buffer {
  const contents = sequence(...safes.map((bags) => contentInfo(sequence(...bags))));
  const key = pkcs12Kdf({ password, salt, iterations: MAC_ITERATIONS, purpose: "mac" });
  const digest = createHmac("sha256", key).update(contents).digest();
  const mac = sequence(
    sequence(sequence(oid(OIDS.sha256), nullValue()), octetString(digest)),
    octetString(salt),
    integer(MAC_ITERATIONS),
  );
  return sequence(integer(3), contentInfo(contents), mac);
}

function contentInfo(content: Buffer): Buffer {
  return sequence(oid(OIDS.data), contextConstructed(0, octetString(content)));
}

function bag(type: string, value: Buffer, attributes: readonly Buffer[]): Buffer {
  const set = attributes.length === 0 ? [] : [setOf(...attributes)];
  return sequence(oid(type), contextConstructed(0, value), ...set);
}

function certBag(der: Buffer, attributes: readonly Buffer[]): Buffer {
  const value = contextConstructed(0, octetString(der));
  return bag(OIDS.certBag, sequence(oid(OIDS.x509Certificate), value), attributes);
}

function attribute(type: string, value: Buffer): Buffer {
  return sequence(oid(type), setOf(value));
}

function friendlyName(ascii: string): Buffer {
  return attribute(OIDS.friendlyName, element(BMP_STRING, Buffer.from(ascii, "utf16le").swap16()));
}

/** EncryptedPrivateKeyInfo (RFC 5958 §3) by PBES2 (RFC 8018 §6.2). */
function encryptKey(entry: KeyEntry, password: string): Buffer {
  const salt = keySalt(entry, "pbkdf2", SALT_BYTES);
  const iv = keySalt(entry, `iv ${password}`, 16);
  const key = pbkdf2Sync(password, salt, KEY_ITERATIONS, 32, "sha256");
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  const encrypted = Buffer.concat([cipher.update(entry.privateKey), cipher.final()]);
  const kdf = sequence(
    oid(OIDS.pbkdf2),
    sequence(
      octetString(salt),
      integer(KEY_ITERATIONS),
      integer(32),
      sequence(oid(OIDS.hmacSha256), nullValue()),
    ),
  );
  const scheme = sequence(oid(OIDS.aes256Cbc), octetString(iv));
  return sequence(sequence(oid(OIDS.pbes2), sequence(kdf, scheme)), octetString(encrypted));
}
