import { z } from "zod";
import { KEY_TYPES } from "./key-pair.ts";
import type { KeyType } from "./key-pair.ts";

/** Where an authority stands: published, signing, or kept until what it signed has expired. */
export const AUTHORITY_STATUSES = ["prepared", "active", "old"] as const;
export type AuthorityStatus = (typeof AUTHORITY_STATUSES)[number];

/** The lasting parts of an X.509 authority; PEM texts, times in milliseconds since the epoch. */
export interface X509AuthorityMaterial {
  /** Subject key identifier in lower-case hex. */
  readonly id: string;
  readonly keyType: KeyType;
  readonly certificate: string;
  /** PKCS#8. */
  readonly privateKey: string;
  /** Certificates between this one and the root, nearest first; none when it is self-signed. */
  readonly chain?: readonly string[];
  /** Roots that the bundle carries for it; the certificate itself when left out. */
  readonly roots?: readonly string[];
  readonly notBefore: number;
  /** The end of the authority or of its chain, whichever is first. */
  readonly notAfter: number;
}

/** An X.509 authority as the journal keeps it. */
export interface X509AuthorityRecord extends X509AuthorityMaterial {
  readonly kind: "x509";
  readonly status: AuthorityStatus;
  /** Whatever it signed is to be replaced at once. */
  readonly tainted?: boolean;
  /** Sequence of the first bundle that held it. */
  readonly sequence: number;
  readonly preparedAt: number;
  readonly activatedAt?: number;
}

/** An authority of a kind that this version does not know: kept as it is. */
export interface ForeignAuthorityRecord {
  readonly kind: string;
  readonly [member: string]: unknown;
}

const MAX_PEM = 64 * 1024;
const MAX_CERTIFICATES = 16;

const pem = z.string().max(MAX_PEM).startsWith("-----BEGIN ");
const epochMs = z.int().nonnegative();

/** Checks an X.509 record's shape; members that are not known stay. */
export const x509AuthorityRecordSchema = z
  .looseObject({
    id: z.string().regex(/^([0-9a-f]{2}){1,64}$/),
    kind: z.literal("x509"),
    status: z.enum(AUTHORITY_STATUSES),
    tainted: z.boolean().exactOptional(),
    keyType: z.enum(KEY_TYPES),
    certificate: pem,
    privateKey: pem,
    chain: z.array(pem).max(MAX_CERTIFICATES).exactOptional(),
    roots: z.array(pem).min(1).max(MAX_CERTIFICATES).exactOptional(),
    sequence: z.int().positive(),
    preparedAt: epochMs,
    activatedAt: epochMs.exactOptional(),
    notBefore: epochMs,
    notAfter: epochMs,
  })
  .refine((record) => record.status !== "active" || record.activatedAt !== undefined, {
    message: "an active authority needs activatedAt",
  })
  .refine((record) => record.notBefore < record.notAfter, {
    message: "notBefore must be before notAfter",
  }) satisfies z.ZodType<X509AuthorityRecord>;
