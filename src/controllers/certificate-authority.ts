import { journalBundle } from "../ca/bundle.ts";
import { loadX509Authority } from "../ca/authority.ts";
import { createX509Issuer } from "../ca/issuer.ts";
import type { X509Issuer } from "../ca/issuer.ts";
import { activeAuthority, activeX509Authority, emptyJournal } from "../ca/journal.ts";
import type { Journal } from "../ca/journal.ts";
import { loadJwtAuthority } from "../ca/jwt-authority.ts";
import { createJwtIssuer } from "../ca/jwt-issuer.ts";
import type { JwtIssuer } from "../ca/jwt-issuer.ts";
import { mergeJournals, unknownTo } from "../ca/merge.ts";
import { AUTHORITY_KINDS } from "../ca/record.ts";
import type { AuthorityKind } from "../ca/record.ts";
import { rotateJournal } from "../ca/rotate.ts";
import type { RotateOptions } from "../ca/rotate.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import { liveValue } from "../core/live.ts";
import type { Live, LiveSource } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { CertificateAuthority } from "../issuer/ports.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import type { JournalSecret, StoredJournal } from "./journal-secret.ts";

/** Seconds between two looks that consumers of the bundle are asked for at the most. */
const MAX_REFRESH_HINT_S = 300;
/** The leader looks at the journal at least this often, whatever it said was due next. */
const MAX_PAUSE_MS = 60_000;
const MIN_PAUSE_MS = 250;

/** The CA as it stands: what signs now, what verifies, and the journal both come from. */
export interface CaState extends CertificateAuthority {
  readonly issuer: X509Issuer;
  /** Undefined until the leader has made the first JWT authority of a journal that had none. */
  readonly jwtIssuer: JwtIssuer | undefined;
  readonly stored: StoredJournal;
}

export interface CaController {
  readonly state: Live<CaState>;
  /**
   * Takes over a journal that a watch brought, unless it is older than the one in use. One that grew apart from it,
   * so that each has authorities that the other lacks, is written back together with it.
   */
  observe(stored: StoredJournal): void;
  /** The leader's part: prepares, activates and prunes authorities until `signal` aborts. */
  rotate(signal: AbortSignal): Promise<void>;
  /** The leader's part when the Secret was deleted: writes back what is in use, so that no trust is lost. */
  restore(): Promise<void>;
}

export interface CaControllerDeps {
  readonly secret: JournalSecret;
  readonly trustDomain: TrustDomain;
  readonly rotation: RotateOptions;
  /** The `iss` of JWT-SVIDs. */
  readonly jwtIssuer: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Opens the CA: reads the journal, or makes the first one. Of replicas that start at the same time one
 * creates the Secret, and the others use what it made.
 */
export async function openCertificateAuthority(deps: CaControllerDeps): Promise<CaController> {
  const state = liveValue(toState(await loadOrCreate(deps), deps));
  return {
    state,
    observe: (stored) => observe(deps, state, stored),
    rotate: (signal) => rotate(deps, state, signal),
    async restore() {
      state.set(toState(await deps.secret.create(state.get().stored.journal), deps));
      deps.log.warn({}, "the CA Secret was deleted; wrote it back from memory");
    },
  };
}

function observe(deps: CaControllerDeps, state: LiveSource<CaState>, stored: StoredJournal): void {
  const used = state.get().stored;
  if (stored.resourceVersion === used.resourceVersion) return;
  const now = deps.clock.now();
  if (isSuccessor(stored.journal, used.journal, now)) {
    state.set(toState(stored, deps));
    return;
  }
  deps.log.warn(
    { stored: stored.journal.sequence, used: used.journal.sequence },
    "the stored CA journal lacks what is in use; kept that",
  );
  // An older one is the leader's to replace. What grew apart may hold what only this replica misses.
  if (unknownTo(used.journal, stored.journal, now).length === 0) return;
  reconcileStored(deps, state).catch((error: unknown) => {
    // Somebody wrote at the same moment: the watch brings what came of it.
    if (isSignetError(error, "CONFLICT", "ALREADY_EXISTS")) return;
    deps.log.error({ error: errorMessage(error) }, "the CA Secret could not be put right");
  });
}

async function loadOrCreate(deps: CaControllerDeps): Promise<StoredJournal> {
  const stored = await deps.secret.load();
  if (stored !== undefined) return revive(deps, stored);
  const { journal } = await rotateJournal(
    emptyJournal(deps.trustDomain),
    deps.clock.now(),
    deps.rotation,
  );
  try {
    const created = await deps.secret.create(journal);
    deps.log.info({ trustDomain: deps.trustDomain }, "made the trust domain's first authority");
    return created;
  } catch (error) {
    if (!isSignetError(error, "ALREADY_EXISTS")) throw error;
    const made = await deps.secret.load();
    if (made === undefined)
      throw new SignetError("UNAVAILABLE", "the CA Secret came and went; try again");
    return made;
  }
}

/**
 * A journal whose active authority has expired signs nothing, not even the certificate a leader needs to be of use:
 * whoever opens it after such a pause takes the steps that are due, leader or not.
 */
async function revive(deps: CaControllerDeps, stored: StoredJournal): Promise<StoredJournal> {
  const active = activeX509Authority(stored.journal);
  const now = deps.clock.now();
  if (active !== undefined && now < active.notAfter) return stored;
  const { journal } = await rotateJournal(stored.journal, now, deps.rotation);
  try {
    const revived = await deps.secret.update(journal, stored);
    deps.log.warn({}, "the active authority had expired; the next one signs now");
    return revived;
  } catch (error) {
    if (!isSignetError(error, "CONFLICT")) throw error;
    return (await deps.secret.load()) ?? stored;
  }
}

async function rotate(
  deps: CaControllerDeps,
  state: LiveSource<CaState>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    let pause = MAX_PAUSE_MS;
    try {
      pause = (await rotateOnce(deps, state)) - deps.clock.now();
    } catch (error) {
      deps.log.error({ error: errorMessage(error) }, "CA rotation failed; trying again");
      pause = 1000;
    }
    await deps.clock
      .sleep(Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, pause)), signal)
      .catch(() => undefined);
  }
}

/** Does what is due; resolves with when the next step is, in milliseconds since the epoch. */
async function rotateOnce(deps: CaControllerDeps, state: LiveSource<CaState>): Promise<number> {
  const stored = await reconcileStored(deps, state);
  const result = await rotateJournal(stored.journal, deps.clock.now(), deps.rotation);
  if (result.journal === stored.journal) return result.nextAt;
  try {
    state.set(toState(await deps.secret.update(result.journal, stored), deps));
  } catch (error) {
    if (!isSignetError(error, "CONFLICT")) throw error;
    // Somebody wrote at the same moment: the next turn begins with what the Secret holds.
    return deps.clock.now();
  }
  for (const step of result.steps) deps.log.info({ step }, "CA rotated");
  return result.nextAt;
}

/** Makes sure that the Secret holds what is in use: it may be gone, or somebody put another one in its place. */
async function reconcileStored(
  deps: CaControllerDeps,
  state: LiveSource<CaState>,
): Promise<StoredJournal> {
  const used = state.get().stored;
  const found = await deps.secret.load();
  if (found?.resourceVersion === used.resourceVersion) return used;
  const now = deps.clock.now();
  if (found !== undefined && isSuccessor(found.journal, used.journal, now)) {
    state.set(toState(found, deps));
    return found;
  }
  const written =
    found === undefined
      ? await deps.secret.create(used.journal)
      : await deps.secret.update(mergeJournals(used.journal, found.journal, now), found);
  deps.log.warn({ missing: found === undefined }, "wrote the CA journal in use back to its Secret");
  state.set(toState(written, deps));
  return written;
}

/** Whether a journal can take the place of the one in use: no SVID that is valid now loses its authority. */
function isSuccessor(journal: Journal, used: Journal, now: number): boolean {
  return unknownTo(journal, used, now).length === 0 && !isOlder(journal, used);
}

/** Whether a journal was written before the one in use. */
function isOlder(journal: Journal, used: Journal): boolean {
  if (journal.sequence !== used.sequence) return journal.sequence < used.sequence;
  return AUTHORITY_KINDS.some((kind) => lastActivation(journal, kind) < lastActivation(used, kind));
}

function lastActivation(journal: Journal, kind: AuthorityKind): number {
  return activeAuthority(journal, kind)?.activatedAt ?? 0;
}

function toState(
  stored: StoredJournal,
  deps: Pick<CaControllerDeps, "trustDomain" | "jwtIssuer" | "rotation">,
): CaState {
  const { journal } = stored;
  const issuer = createX509Issuer(activeX509(journal, deps.trustDomain));
  const jwt = activeAuthority(journal, "jwt");
  const options = { trustDomain: deps.trustDomain, issuer: deps.jwtIssuer };
  const jwtIssuer = jwt && createJwtIssuer(loadJwtAuthority(jwt), options);
  return {
    stored,
    issuer,
    jwtIssuer,
    bundle: journalBundle(journal, refreshHint(deps.rotation)),
    issue: (request) => issuer.issue(request),
    async issueJwt(request) {
      if (jwtIssuer) return jwtIssuer.issue(request);
      throw new SignetError("UNAVAILABLE", "there is no JWT authority yet; the leader makes one");
    },
  };
}

/** A new authority signs a twelfth of the lifetime later at the soonest: until then there are five looks (Federation §4.1). */
function refreshHint({ ttlMs, jwt }: RotateOptions): number {
  const shortest = Math.min(ttlMs, jwt?.ttlMs ?? ttlMs);
  return Math.max(1, Math.min(MAX_REFRESH_HINT_S, Math.floor(shortest / 12 / 5 / 1000)));
}

function activeX509(
  journal: Journal,
  trustDomain: TrustDomain,
): ReturnType<typeof loadX509Authority> {
  const record = activeX509Authority(journal);
  if (record === undefined) {
    throw new SignetError("FAILED_PRECONDITION", "the CA journal has no active X.509 authority");
  }
  return loadX509Authority(record, trustDomain);
}
