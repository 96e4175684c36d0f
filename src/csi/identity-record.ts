import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { SignetError } from "../core/errors.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { parseSpiffeId } from "../spiffe/id.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustBundles } from "./layout.ts";
import type { WorkloadIdentity } from "./ports.ts";

/**
 * A file in each generation, for root alone and without a visible name, that holds all that a restarted agent
 * needs of what the volume shows, in whatever layout that is.
 */
export const RECORD_FILE = ".identity";
export const RECORD_MODE = 0o400;

/** What a record says: the identity, or that there is none any more. */
export interface IdentityRecord {
  readonly identity: WorkloadIdentity | undefined;
  readonly bundles: TrustBundles;
}

const bytes = z.base64().transform((text) => Buffer.from(text, "base64"));
const time = z.int().min(0);

const bundleSchema = z.object({
  trustDomain: z.string().transform(parseTrustDomain),
  x509Authorities: z.array(bytes),
  jwtAuthorities: z.array(
    z.object({
      kid: z.string(),
      kty: z.string(),
      alg: z.string().optional(),
      crv: z.string().optional(),
      x: z.string().optional(),
      y: z.string().optional(),
      n: z.string().optional(),
      e: z.string().optional(),
    }),
  ),
  sequence: z.number(),
  refreshHint: z.number(),
});

const svidSchema = z.object({
  spiffeId: z.string().transform((uri) => parseSpiffeId(uri).uri),
  chain: z.array(bytes).min(1),
  notBefore: time,
  notAfter: time,
  hint: z.string(),
  entryId: z.string(),
  revision: z.string(),
  federatesWith: z.array(z.string()),
});

const tokenSchema = z.object({
  audience: z.string(),
  spiffeId: z.string(),
  token: z.string(),
  issuedAt: time,
  expiresAt: time,
});

const recordSchema = z.object({
  version: z.literal(1),
  svids: z.array(svidSchema),
  privateKey: bytes.optional(),
  bundle: bundleSchema,
  federatedBundles: z.array(bundleSchema),
  tokens: z.array(tokenSchema),
});

/** How the files are laid out, so that equal records mean equal files. */
type Attributes = Readonly<Record<string, string>>;

/** Writes the record of an identity that is laid out as `attributes` say. */
export function encodeIdentity(identity: WorkloadIdentity, attributes: Attributes): Buffer {
  return encode({
    attributes,
    svids: identity.svids.map((svid) => ({ ...svid, chain: svid.chain.map(base64) })),
    privateKey: base64(identity.privateKey),
    tokens: identity.tokens,
    ...encodeAll(identity),
  });
}

/** Writes the record of a volume whose pod has no identity any more: nothing secret is in it. */
export function encodeBundles(bundles: TrustBundles, attributes: Attributes): Buffer {
  return encode({ attributes, svids: [], tokens: [], ...encodeAll(bundles) });
}

/** Reads a record. Throws MALFORMED for anything else, and when its key is not that of its certificate. */
export function decodeRecord(record: Buffer): IdentityRecord {
  try {
    const { svids, privateKey, tokens, bundle, federatedBundles } = recordSchema.parse(
      JSON.parse(record.toString()),
    );
    const bundles = { bundle, federatedBundles };
    const leaf = svids[0]?.chain[0];
    if (leaf === undefined || privateKey === undefined) return { identity: undefined, bundles };
    const key = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
    if (!new X509Certificate(leaf).checkPrivateKey(key)) throw new Error("not a pair");
    return { identity: { svids, privateKey, tokens, ...bundles }, bundles };
  } catch {
    // No cause: a parser's message may quote what it read.
    throw new SignetError("MALFORMED", "record of the volume's identity cannot be read");
  }
}

function encodeAll({ bundle, federatedBundles }: TrustBundles): Readonly<Record<string, unknown>> {
  return { bundle: encodeBundle(bundle), federatedBundles: federatedBundles.map(encodeBundle) };
}

function encodeBundle(bundle: Bundle): Readonly<Record<string, unknown>> {
  return { ...bundle, x509Authorities: bundle.x509Authorities.map(base64) };
}

function encode(record: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`${JSON.stringify({ version: 1, ...record })}\n`);
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64");
}
