import { createHash } from "node:crypto";
import { nullValue, octetString, oid, sequence } from "../ca/der/write.ts";
import { authorityAlias, KEY_ALIAS, keySalt } from "./keystore.ts";
import type { KeyEntry } from "./keystore.ts";

/** JKS is Sun's own format: its source is the class sun.security.provider.JavaKeyStore of the JDK. */
const MAGIC = 0xfeedfeed;
const VERSION = 2;
const PRIVATE_KEY_ENTRY = 1;
const TRUSTED_ENTRY = 2;
const CERTIFICATE_TYPE = "X.509";
/** Mixed into the digest of the whole, so that it is none of the password alone. */
const WHITENER = "Mighty Aphrodite";
const KEY_PROTECTOR = "1.3.6.1.4.1.42.2.17.1.1";
const SALT_BYTES = 20;

/** A JKS keystore with one key entry; key and store have the same password, in ASCII. */
export function jksKeystore(entry: KeyEntry, password: string): Buffer {
  const key = protectKey(entry, password);
  const chain = entry.chain.map((der) => Buffer.concat([utf(CERTIFICATE_TYPE), counted(der)]));
  return store(
    [
      Buffer.concat([
        uint32(PRIVATE_KEY_ENTRY),
        utf(KEY_ALIAS),
        timestamp(entry.createdAt),
        counted(key),
        uint32(chain.length),
        ...chain,
      ]),
    ],
    password,
  );
}

/** A JKS keystore that trusts `authorities`, DER certificates. */
export function jksTruststore(
  authorities: readonly Buffer[],
  options: { readonly password: string; readonly createdAt: number },
): Buffer {
  const entries = authorities.map((der, at) =>
    Buffer.concat([
      uint32(TRUSTED_ENTRY),
      utf(authorityAlias(at)),
      timestamp(options.createdAt),
      utf(CERTIFICATE_TYPE),
      counted(der),
    ]),
  );
  return store(entries, options.password);
}

function store(entries: readonly Buffer[], password: string): Buffer {
  const body = Buffer.concat([uint32(MAGIC), uint32(VERSION), uint32(entries.length), ...entries]);
  return Buffer.concat([body, sha1(utf16(password), Buffer.from(WHITENER), body)]);
}

/** The key XORed with a stream of SHA-1 digests, as sun.security.provider.KeyProtector does it: no encryption worth the name. */
function protectKey(entry: KeyEntry, password: string): Buffer {
  const secret = utf16(password);
  const salt = keySalt(entry, "jks", SALT_BYTES);
  const masked = Buffer.alloc(entry.privateKey.length);
  let digest = salt;
  for (let at = 0; at < masked.length; at += digest.length) {
    digest = sha1(secret, digest);
    for (const [i, byte] of digest.entries()) {
      if (at + i < masked.length) masked[at + i] = byte ^ (entry.privateKey[at + i] ?? 0);
    }
  }
  const check = sha1(secret, entry.privateKey);
  return sequence(
    sequence(oid(KEY_PROTECTOR), nullValue()),
    octetString(Buffer.concat([salt, masked, check])),
  );
}

function sha1(...parts: readonly Buffer[]): Buffer {
  const hash = createHash("sha1");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** java.io.DataOutput.writeUTF of ASCII. */
function utf(text: string): Buffer {
  const bytes = Buffer.from(text, "ascii");
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function utf16(ascii: string): Buffer {
  return Buffer.from(ascii, "utf16le").swap16();
}

function counted(bytes: Buffer): Buffer {
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function timestamp(ms: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(ms));
  return bytes;
}
