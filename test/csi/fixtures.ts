import "reflect-metadata";
import { generateKeyPairSync, randomUUID, webcrypto } from "node:crypto";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { SignetError } from "../../src/core/errors.ts";
import type { Log, LogFields } from "../../src/core/log.ts";
import { createMounter } from "../../src/csi/mount.ts";
import type { Mounter } from "../../src/csi/mount.ts";
import type { MountEntry } from "../../src/csi/mount-table.ts";
import type {
  AttestOptions,
  IdentitySource,
  Volume,
  WorkloadIdentity,
  WorkloadPod,
  WorkloadSockets,
} from "../../src/csi/ports.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";

x509.cryptoProvider.set(webcrypto);

/** Mounting needs root; without it the tests below run on a mounter that only remembers. */
export const IS_ROOT = process.getuid?.() === 0;

const DAY_MS = 86_400_000;

export interface IdentityOptions {
  readonly spiffeId?: string;
  readonly entryId?: string;
  readonly revision?: string;
  readonly hint?: string;
  readonly notAfter?: number;
}

interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGN = { name: "ECDSA", hash: "SHA-256" } as const;
let authority: Promise<Authority> | undefined;

async function makeAuthority(): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=test",
    keys,
    signingAlgorithm: SIGN,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: "spiffe://example.org" }]),
    ],
  });
  return { certificate, keys };
}

/** An identity with a real certificate, signed by another library than ours. */
export async function makeIdentity(options: IdentityOptions = {}): Promise<WorkloadIdentity> {
  authority ??= makeAuthority();
  const ca = await authority;
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const privateKey = pair.privateKey.export({ format: "der", type: "pkcs8" });
  const publicKey = await webcrypto.subtle.importKey(
    "spki",
    pair.publicKey.export({ format: "der", type: "spki" }),
    EC,
    true,
    ["verify"],
  );
  const spiffeId = options.spiffeId ?? "spiffe://example.org/ns/default/sa/web";
  const notAfter = Math.floor((options.notAfter ?? Date.now() + 3_600_000) / 1000) * 1000;
  const notBefore = notAfter - 7_200_000;
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: randomUUID().replaceAll("-", ""),
    subject: "O=SPIRE",
    issuer: ca.certificate.subject,
    publicKey: publicKey,
    signingKey: ca.keys.privateKey,
    signingAlgorithm: SIGN,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }])],
  });
  return {
    svids: [
      {
        spiffeId,
        chain: [Buffer.from(leaf.rawData)],
        notBefore,
        notAfter,
        hint: options.hint ?? "",
        entryId: options.entryId ?? "entry-1",
        revision: options.revision ?? "r1",
        federatesWith: [],
      },
    ],
    privateKey,
    bundle: {
      trustDomain: parseTrustDomain("example.org"),
      x509Authorities: [Buffer.from(ca.certificate.rawData)],
      jwtAuthorities: [],
      sequence: 7,
      refreshHint: 300,
    },
    federatedBundles: [],
    tokens: [],
  };
}

/** Sockets in memory: the folder of each that is shown. */
export interface MemorySockets extends WorkloadSockets {
  readonly shown: Map<string, string>;
}

export function memorySockets(): MemorySockets {
  const shown = new Map<string, string>();
  return {
    shown,
    async open(volumeId, directory) {
      await Promise.resolve();
      shown.set(volumeId, directory);
    },
    async close(volumeId) {
      await Promise.resolve();
      shown.delete(volumeId);
    },
    async stop() {
      await Promise.resolve();
      shown.clear();
    },
  };
}

/** An identity source whose answers a test decides; it remembers what it was told. */
export interface ScriptedSource extends IdentitySource {
  /** Answers the next calls of attest. */
  answer: (pod: WorkloadPod, options: AttestOptions) => Promise<WorkloadIdentity>;
  readonly attested: { pod: WorkloadPod; token: string; options: AttestOptions }[];
  readonly adopted: Map<string, { volume: Volume; current: WorkloadIdentity | undefined }>;
  readonly forgotten: string[];
}

/** Makes a source that answers with `identity`, or never without one. */
export function scriptedSource(identity?: WorkloadIdentity): ScriptedSource {
  const source: ScriptedSource = {
    answer: (_, { signal }) =>
      identity === undefined ? waitForAbort(signal) : Promise.resolve(identity),
    attested: [],
    adopted: new Map(),
    forgotten: [],
    attest({ pod }, token, options) {
      source.attested.push({ pod, token, options });
      return source.answer(pod, options);
    },
    adopt(volume, current) {
      source.adopted.set(volume.id, { volume, current });
    },
    addressOf: () => undefined,
    forget(id) {
      source.adopted.delete(id);
      source.forgotten.push(id);
    },
  };
  return source;
}

/** Waits like a source to which nothing ever comes. */
export function waitForAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new SignetError("CANCELLED", "aborted")), {
      once: true,
    });
  });
}

/** A mounter that can be told to fail. */
export interface FaultyMounter extends Mounter {
  failMount: boolean;
  failUnmount: number;
}

/** A temporary folder with mounts that are taken away with it. */
export interface Sandbox {
  readonly dir: string;
  readonly mounter: FaultyMounter;
  /** Mount points below the folder. */
  mountPoints(): Promise<string[]>;
  cleanUp(): Promise<void>;
}

function refuse(call: string): never {
  throw new SignetError("SYSTEM", `${call}: EIO`);
}

/** Makes a sandbox: real mounts as root, remembered ones otherwise. */
export async function makeSandbox(): Promise<Sandbox> {
  const dir = await realpath(await mkdtemp(join(tmpdir(), "csi-")));
  const inner = IS_ROOT ? await createMounter() : rememberingMounter();
  const mounter: FaultyMounter = {
    failMount: false,
    failUnmount: 0,
    mountTmpfs: (target, options) =>
      mounter.failMount ? refuse("mount") : inner.mountTmpfs(target, options),
    async unmount(target) {
      if (mounter.failUnmount > 0) {
        mounter.failUnmount--;
        refuse("umount2");
      }
      await inner.unmount(target);
    },
    mounts: () => inner.mounts(),
  };
  const mountPoints = async (): Promise<string[]> =>
    (await inner.mounts()).map((entry) => entry.mountPoint).filter((path) => path.startsWith(dir));
  return {
    dir,
    mounter,
    mountPoints,
    async cleanUp() {
      for (const path of (await mountPoints()).toReversed()) await inner.unmount(path);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Keeps a mount table and mounts nothing; unmounting removes the files, as a tmpfs would. */
function rememberingMounter(): Mounter {
  const table: MountEntry[] = [];
  return {
    mountTmpfs(mountPoint, { source }) {
      table.push({ mountPoint, source, fsType: "tmpfs", shared: true });
    },
    async unmount(target) {
      const at = table.findLastIndex(({ mountPoint }) => mountPoint === target);
      if (at === -1) return;
      table.splice(at, 1);
      await rm(target, { recursive: true, force: true });
    },
    mounts: () => Promise.resolve([...table]),
  };
}

/** A log that keeps its lines. */
export function recordingLog(): Log & { readonly lines: { level: string; text: string }[] } {
  const lines: { level: string; text: string }[] = [];
  const say =
    (level: string) =>
    (fields: LogFields, message: string): void => {
      lines.push({ level, text: `${message} ${JSON.stringify(fields)}` });
    };
  const log = {
    lines,
    debug: say("debug"),
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
    child: () => log,
  };
  return log;
}

let pods = 0;

/** A pod that no other test has. */
export function makePod(name = "web-0") {
  pods++;
  return { uid: `uid-${process.pid}-${pods}`, name, namespace: "default", serviceAccount: "web" };
}
