import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { SignetError } from "../core/errors.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { parseSpiffeId } from "../spiffe/id.ts";
import { parsePem } from "../spiffe/pem.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { decodeRecord, RECORD_FILE } from "./identity-record.ts";
import type { IdentityRecord } from "./identity-record.ts";
import type { WorkloadIdentity } from "./ports.ts";
import type { EntryState } from "./volume-state.ts";

const documentSchema = z.object({
  keys: z.array(z.object({ x5c: z.array(z.base64()).min(1) })),
  spiffe_sequence: z.int().min(0).default(0),
  spiffe_refresh_hint: z.int().min(0).default(0),
});

/**
 * Reads back what the files of a volume show, so that a restarted agent renews it when it is due and not at once.
 * A volume that an agent without records wrote holds its default SVID only; `entry` says what its files do not:
 * which registration entry that was issued for.
 * Throws MALFORMED when there is no identity whose key, chain and entry belong together, or the system's errors.
 */
export function readVolume(
  readFile: (name: string) => Buffer,
  entry: EntryState | undefined,
): IdentityRecord {
  const record = unlessMissing(() => readFile(RECORD_FILE));
  if (record !== undefined) return decodeRecord(record);
  const identity = parseIdentityFiles(readFile, entry);
  return { identity, bundles: identity };
}

function unlessMissing(read: () => Buffer): Buffer | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function parseIdentityFiles(
  readFile: (name: string) => Buffer,
  entry: EntryState | undefined,
): WorkloadIdentity {
  try {
    const chain = parsePem("CERTIFICATE", readFile("tls.crt").toString());
    const privateKey = parsePem("PRIVATE KEY", readFile("tls.key").toString())[0] as Buffer;
    const leaf = new X509Certificate(chain[0] as Buffer);
    const key = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
    if (!leaf.checkPrivateKey(key)) throw malformed("key and certificate are not a pair");
    const id = parseSpiffeId(spiffeIdOf(leaf));
    if (entry !== undefined && entry.spiffeId !== id.uri) {
      throw malformed("certificate is not the one that was recorded");
    }
    const svid = {
      spiffeId: id.uri,
      chain,
      notBefore: leaf.validFromDate.getTime(),
      notAfter: leaf.validToDate.getTime(),
      hint: entry?.hint ?? "",
      entryId: entry?.entryId ?? "",
      revision: entry?.revision ?? "",
      federatesWith: [],
    };
    const bundle = parseBundleDocument(readFile("bundle.json").toString(), id.trustDomain);
    return { svids: [svid], privateKey, bundle, federatedBundles: [], tokens: [] };
  } catch (error) {
    if (error instanceof SignetError && error.code === "MALFORMED") throw error;
    // No cause: a parser's message may quote what it read.
    throw malformed("files hold no identity");
  }
}

function parseBundleDocument(text: string, trustDomain: TrustDomain): Bundle {
  const document = documentSchema.parse(JSON.parse(text));
  return {
    trustDomain,
    x509Authorities: document.keys.map(({ x5c }) => Buffer.from(x5c[0] as string, "base64")),
    jwtAuthorities: [],
    sequence: document.spiffe_sequence,
    refreshHint: document.spiffe_refresh_hint,
  };
}

/** X509-SVID §2: exactly one URI among the subject's alternative names. */
function spiffeIdOf(leaf: X509Certificate): string {
  const uris = (leaf.subjectAltName ?? "")
    .split(", ")
    .flatMap((name) => (name.startsWith("URI:") ? [name.slice(4)] : []));
  if (uris.length !== 1) throw malformed("certificate has not exactly one URI");
  return uris[0] as string;
}

function malformed(message: string): SignetError {
  return new SignetError("MALFORMED", message);
}
