import { z } from "zod";
import { isSignetError, SignetError } from "../core/errors.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { loadX509Authority } from "./authority.ts";
import { loadJwtAuthority } from "./jwt-authority.ts";
import { jwtAuthorityRecordSchema, x509AuthorityRecordSchema } from "./record.ts";
import type {
  AuthorityKind,
  AuthorityRecords,
  AuthorityStatus,
  ForeignAuthorityRecord,
  KnownAuthorityRecord,
  X509AuthorityRecord,
} from "./record.ts";

export type AuthorityRecord = KnownAuthorityRecord | ForeignAuthorityRecord;

/** All that a CA must remember: its authorities, and how often its bundle has changed. */
export interface Journal {
  readonly version: 1;
  readonly trustDomain: TrustDomain;
  /** The bundle's sequence number; 0 before the first authority. */
  readonly sequence: number;
  /** In the order they were prepared. */
  readonly authorities: readonly AuthorityRecord[];
}

const VERSION = 1;
/** A Secret holds no more. */
const MAX_JOURNAL_CHARS = 1024 * 1024;
const MAX_AUTHORITIES = 128;

const SCHEMAS = { x509: x509AuthorityRecordSchema, jwt: jwtAuthorityRecordSchema };

const recordSchema = z
  .looseObject({ kind: z.string().min(1).max(64) })
  .transform((record, context): AuthorityRecord => {
    if (!isKnownKind(record.kind)) return record;
    const result = SCHEMAS[record.kind].safeParse(record);
    if (result.success) return result.data;
    for (const { path, message } of result.error.issues)
      context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  });

const journalSchema = z.looseObject({
  version: z.literal(VERSION),
  trustDomain: z.string(),
  sequence: z.int().nonnegative(),
  authorities: z.array(recordSchema).max(MAX_AUTHORITIES),
});

/** The journal of a CA that has no authority yet. */
export function emptyJournal(trustDomain: TrustDomain): Journal {
  return { version: VERSION, trustDomain, sequence: 0, authorities: [] };
}

/** The authorities of one kind, in the order they were prepared, of one status when given. */
export function authoritiesOf<K extends AuthorityKind>(
  journal: Journal,
  kind: K,
  status?: AuthorityStatus,
): AuthorityRecords[K][] {
  return journal.authorities
    .filter((record): record is AuthorityRecords[K] => record.kind === kind)
    .filter((record) => status === undefined || record.status === status);
}

/** The authority of a kind that signs, or undefined before the first activation. */
export function activeAuthority<K extends AuthorityKind>(
  journal: Journal,
  kind: K,
): AuthorityRecords[K] | undefined {
  return authoritiesOf(journal, kind, "active")[0];
}

export function x509Authorities(journal: Journal, status?: AuthorityStatus): X509AuthorityRecord[] {
  return authoritiesOf(journal, "x509", status);
}

export function activeX509Authority(journal: Journal): X509AuthorityRecord | undefined {
  return activeAuthority(journal, "x509");
}

/** The JSON text to store. It holds private keys. */
export function encodeJournal(journal: Journal): string {
  return `${JSON.stringify(journal, undefined, 2)}\n`;
}

/**
 * Reads a stored journal of `trustDomain` and checks every authority in it, keys included.
 * Authorities of unknown kinds, and unknown members, are kept.
 * Throws MALFORMED with the place and the rule, and FAILED_PRECONDITION for another version or trust
 * domain; no message holds a part of the text.
 */
export function decodeJournal(text: string, trustDomain: TrustDomain): Journal {
  if (text.length > MAX_JOURNAL_CHARS)
    throw malformed(`is longer than ${MAX_JOURNAL_CHARS} characters`);
  const value = parseJson(text);
  checkVersion(value);
  const result = journalSchema.safeParse(value);
  if (!result.success) {
    throw malformed(
      result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "),
    );
  }
  const journal: Journal = {
    ...result.data,
    trustDomain: parseTrustDomain(result.data.trustDomain),
  };
  if (journal.trustDomain !== trustDomain) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `the CA journal is of trust domain ${journal.trustDomain}, not ${trustDomain}; remove it to begin a new trust domain`,
    );
  }
  checkAuthorities(journal);
  return journal;
}

function checkAuthorities(journal: Journal): void {
  checkStandings(journal, authoritiesOf(journal, "x509"));
  checkStandings(journal, authoritiesOf(journal, "jwt"));
}

function checkStandings(journal: Journal, records: readonly KnownAuthorityRecord[]): void {
  if (new Set(records.map(({ id }) => id)).size < records.length)
    throw malformed("has two authorities with one ID");
  if (records.filter(({ status }) => status === "active").length > 1)
    throw malformed("has two active authorities");
  if (records.some(({ sequence }) => sequence > journal.sequence))
    throw malformed("has an authority newer than its sequence");
  for (const record of records) loadChecked(record, journal.trustDomain);
}

function loadChecked(record: KnownAuthorityRecord, trustDomain: TrustDomain): void {
  try {
    if (record.kind === "x509") loadX509Authority(record, trustDomain);
    else loadJwtAuthority(record);
  } catch (error) {
    throw isSignetError(error) ? malformed(`holds a bad authority: ${error.message}`) : error;
  }
}

function isKnownKind(kind: string): kind is AuthorityKind {
  return Object.hasOwn(SCHEMAS, kind);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse quotes the text in its message, and the text holds keys.
    throw malformed("is not JSON");
  }
}

function checkVersion(value: unknown): void {
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version > VERSION) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `the CA journal has version ${version}; this program reads version ${VERSION}`,
    );
  }
}

function malformed(rule: string): SignetError {
  return new SignetError("MALFORMED", `the CA journal ${rule}`);
}
