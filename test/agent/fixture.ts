import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { IdentitySink, Volume, WorkloadIdentity, WorkloadPod } from "../../src/csi/ports.ts";
import { createAgent } from "../../src/agent/agent.ts";
import type { Agent } from "../../src/agent/agent.ts";
import type { AgentEvent } from "../../src/agent/events.ts";
import type { JwtCacheLimits } from "../../src/agent/jwt-answers.ts";
import { jwtSvidValidator } from "../../src/workload-api/jwt-validation.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { bundleDocument } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import type { FakeEntry } from "../fakes/issuer.ts";

export const TRUST_DOMAIN = parseTrustDomain("test.local");
export const OPERATOR_ID = "spiffe://test.local/signet/operator";

/** A folder that is removed on dispose. */
export function tempDir(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "signet-agent-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Replaces a file as a whole, as kubelet does. */
export function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.next`, text);
  renameSync(`${path}.next`, path);
}

/** An identity without federation and tokens. */
export function identityOf(svids: WorkloadIdentity["svids"]): WorkloadIdentity {
  const privateKey = Buffer.from("key");
  return { svids, privateKey, bundle: bundleOf([]), federatedBundles: [], tokens: [] };
}

export function bundleOf(authorities: readonly TestAuthority[], sequence = 1): Bundle {
  const x509Authorities = authorities.map(({ der }) => der);
  return {
    trustDomain: TRUST_DOMAIN,
    x509Authorities,
    jwtAuthorities: [],
    sequence,
    refreshHint: 300,
  };
}

/** Bundle and token files of an agent in `dir`. */
export function agentFiles(dir: string, authorities: readonly TestAuthority[]) {
  const tokenFile = join(dir, "token");
  replaceFile(tokenFile, "agent-token-1\n");
  const setBundle = (next: readonly TestAuthority[]): void =>
    replaceFile(join(dir, "bundle.json"), bundleDocument(bundleOf(next)));
  if (authorities.length > 0) setBundle(authorities);
  return { bundleDir: dir, tokenFile, setBundle };
}

/** Waits until `condition` holds; fails after 20 s with what it saw last. */
export async function until(condition: () => unknown, what: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await delay(5);
  }
}

/** Moves a manual clock on in small steps until `condition` holds; gives real sockets time in between. */
export async function advanceUntil(
  clock: { advance(ms: number): Promise<void> },
  condition: () => unknown,
  what: string,
): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await clock.advance(500);
    await delay(5);
  }
}

export function pod(uid: string): WorkloadPod {
  return { uid, name: uid, namespace: "default", serviceAccount: "default" };
}

export function volumeOf(id: string, owner: WorkloadPod): Volume {
  return { id, pod: owner, jwtAudiences: [], keyType: "ec-p256", removal: "keep" };
}

export function entry(name: string, revision = "r1"): FakeEntry {
  return { entryId: `entry-${name}`, revision, spiffeId: `spiffe://test.local/${name}` };
}

/** Volumes in memory: what they show now, and all that was ever written. */
export interface MemoryVolumes extends IdentitySink {
  /** Volumes that were cleared, in this order. */
  readonly cleared: string[];
  readonly shown: Map<string, WorkloadIdentity>;
  readonly writes: { volumeId: string; identity: WorkloadIdentity }[];
  readonly gone: Set<string>;
  /** Thrown by the next writes. */
  failure: Error | undefined;
  /** How many writes failed with it. */
  failed: number;
}

export function memoryVolumes(): MemoryVolumes {
  const volumes: MemoryVolumes = {
    shown: new Map(),
    writes: [],
    cleared: [],
    gone: new Set(),
    failure: undefined,
    failed: 0,
    async write(volumeId, identity) {
      await Promise.resolve();
      if (volumes.gone.has(volumeId)) throw new SignetError("NOT_FOUND", "volume is gone");
      if (volumes.failure) {
        volumes.failed += 1;
        throw volumes.failure;
      }
      volumes.shown.set(volumeId, identity);
      volumes.writes.push({ volumeId, identity });
    },
    async clear(volumeId) {
      await Promise.resolve();
      if (volumes.gone.has(volumeId)) throw new SignetError("NOT_FOUND", "volume is gone");
      if (volumes.failure) {
        volumes.failed += 1;
        throw volumes.failure;
      }
      volumes.shown.delete(volumeId);
      volumes.cleared.push(volumeId);
    },
  };
  return volumes;
}

export interface TestAgent extends Agent {
  readonly volumes: MemoryVolumes;
  /** How often something was counted. */
  counted(event: AgentEvent): number;
}

/** An agent with volumes in memory. */
export function testAgent(options: {
  address: string;
  files: { bundleDir: string; tokenFile: string };
  clock?: Clock;
  jwtLimits?: Partial<JwtCacheLimits>;
}): TestAgent {
  const volumes = memoryVolumes();
  const counts = new Map<AgentEvent, number>();
  const { bundleDir, tokenFile } = options.files;
  const agent = createAgent({
    config: { operatorAddress: options.address, bundleDir, tokenFile },
    trustDomain: TRUST_DOMAIN,
    version: "test",
    sink: () => volumes,
    clock: options.clock ?? systemClock(),
    random: Math.random,
    log: silentLog(),
    verifyJwt: jwtSvidValidator(),
    jwtLimits: options.jwtLimits ?? {},
    count: (event) => counts.set(event, (counts.get(event) ?? 0) + 1),
  });
  return { ...agent, volumes, counted: (event) => counts.get(event) ?? 0 };
}
