import { z } from "zod";
import { JWT_ALGORITHMS } from "./jwt-algorithm.ts";
import type { JwtAlgorithm } from "./jwt-algorithm.ts";
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

/** The lasting parts of a JWT authority. */
export interface JwtAuthorityMaterial {
  /** The `kid` of its tokens: the thumbprint of its key (RFC 7638). */
  readonly id: string;
  readonly algorithm: JwtAlgorithm;
  /** PKCS#8 in PEM. */
  readonly privateKey: string;
  /** Milliseconds since the epoch; no token that it signs lives longer. */
  readonly notAfter: number;
}

/** Where an authority of the journal stands in the succession of its kind; times in milliseconds since the epoch. */
export interface AuthorityStanding {
  readonly status: AuthorityStatus;
  /** Whatever it signed is to be replaced at once. */
  readonly tainted?: boolean;
  /** Sequence of the first bundle that held it. */
  readonly sequence: number;
  readonly preparedAt: number;
  readonly activatedAt?: number;
}

/** An X.509 authority as the journal keeps it. */
export interface X509AuthorityRecord extends X509AuthorityMaterial, AuthorityStanding {
  readonly kind: "x509";
}

/** A JWT authority as the journal keeps it. */
export interface JwtAuthorityRecord extends JwtAuthorityMaterial, AuthorityStanding {
  readonly kind: "jwt";
}

/** The authorities that this version knows, by their kind. */
export interface AuthorityRecords {
  readonly x509: X509AuthorityRecord;
  readonly jwt: JwtAuthorityRecord;
}

export type AuthorityKind = keyof AuthorityRecords;
export const AUTHORITY_KINDS: readonly AuthorityKind[] = ["x509", "jwt"];
export type KnownAuthorityRecord = AuthorityRecords[AuthorityKind];

/** An authority of a kind that this version does not know: kept as it is. */
export interface ForeignAuthorityRecord {
  readonly kind: string;
  readonly [member: string]: unknown;
}

const MAX_PEM = 64 * 1024;
const MAX_CERTIFICATES = 16;

const pem = z.string().max(MAX_PEM).startsWith("-----BEGIN ");
const epochMs = z.int().nonnegative();

const standing = {
  status: z.enum(AUTHORITY_STATUSES),
  tainted: z.boolean().exactOptional(),
  sequence: z.int().positive(),
  preparedAt: epochMs,
  activatedAt: epochMs.exactOptional(),
};

const isActivated = (record: AuthorityStanding): boolean =>
  record.status !== "active" || record.activatedAt !== undefined;
const NOT_ACTIVATED = { message: "an active authority needs activatedAt" };

/** Checks a JWT record's shape; members that are not known stay. */
export const jwtAuthorityRecordSchema = z
  .looseObject({
    id: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
    kind: z.literal("jwt"),
    ...standing,
    algorithm: z.enum(JWT_ALGORITHMS),
    privateKey: pem,
    notAfter: epochMs,
  })
  .refine(isActivated, NOT_ACTIVATED) satisfies z.ZodType<JwtAuthorityRecord>;

/** Checks an X.509 record's shape; members that are not known stay. */
export const x509AuthorityRecordSchema = z
  .looseObject({
    id: z.string().regex(/^([0-9a-f]{2}){1,64}$/),
    kind: z.literal("x509"),
    ...standing,
    keyType: z.enum(KEY_TYPES),
    certificate: pem,
    privateKey: pem,
    chain: z.array(pem).max(MAX_CERTIFICATES).exactOptional(),
    roots: z.array(pem).min(1).max(MAX_CERTIFICATES).exactOptional(),
    notBefore: epochMs,
    notAfter: epochMs,
  })
  .refine(isActivated, NOT_ACTIVATED)
  .refine((record) => record.notBefore < record.notAfter, {
    message: "notBefore must be before notAfter",
  }) satisfies z.ZodType<X509AuthorityRecord>;
