import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { Server, ServerCredentials as GrpcCredentials } from "@grpc/grpc-js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type {
  BundleSchema,
  IssueJwtRequest,
  IssueJwtResponseSchema,
  IssueResponseSchema,
  NodeUpdateSchema,
} from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { addService } from "../../src/rpc/server.ts";
import type { CallContext, Send } from "../../src/rpc/server.ts";
import type { ServerCredentials, TestAuthority } from "./authority.ts";
import type { TestJwtAuthority } from "./jwt-authority.ts";

export interface FakeEntry {
  readonly entryId: string;
  readonly revision: string;
  readonly spiffeId: string;
  readonly hint?: string;
  /** Names of foreign trust domains; answers carry the bundles of those that `setFederatedBundle` named. */
  readonly federatesWith?: readonly string[];
}

/** What verifies the SVIDs of a trust domain. */
export interface FakeBundle {
  readonly authorities: readonly TestAuthority[];
  /** None when left out. */
  readonly jwtAuthorities?: readonly TestJwtAuthority[];
  readonly sequence: number;
}

/** A call that the issuer saw, in the order of arrival. */
export interface SeenCall {
  readonly method: "attest" | "renew" | "issueJwt" | "watch";
  readonly token: string | undefined;
  readonly podUid: string;
  /** Of Attest and Renew; empty for the others. */
  readonly publicKey: Buffer;
  /** Of IssueJwt; empty for the others. */
  readonly audiences: readonly string[];
  /** Of IssueJwt: the one identity that was asked for, or "". */
  readonly spiffeId: string;
}

export interface FakeIssuerOptions {
  readonly trustDomain: string;
  readonly server: ServerCredentials;
  /** Signs SVIDs, and is the first bundle. */
  readonly authority: TestAuthority;
  /** Signs JWT-SVIDs, and is in the first bundle. Without one IssueJwt ends with UNIMPLEMENTED. */
  readonly jwtAuthority?: TestJwtAuthority;
  readonly ttlMs?: number;
  /** Lifetime of JWT-SVIDs; 5 min when left out. */
  readonly jwtTtlMs?: number;
  readonly now?: () => number;
}

type IssueAnswer = MessageInitShape<typeof IssueResponseSchema>;
type JwtAnswer = MessageInitShape<typeof IssueJwtResponseSchema>;
type BundleMessage = MessageInitShape<typeof BundleSchema>;
type Update = MessageInitShape<typeof NodeUpdateSchema>;

/** An operator's issuer on a real TLS socket; what it knows outlives its restarts. */
export interface FakeIssuer {
  readonly port: number;
  readonly address: string;
  readonly calls: SeenCall[];
  /** Sessions that are open. */
  readonly sessions: number;
  /** Attestations that wait for an identity. */
  readonly waiting: number;
  /** Changes every answer before it is sent. */
  tamper: (response: IssueAnswer) => IssueAnswer;
  /** Changes every answer of IssueJwt before it is sent; may wait, or throw. */
  tamperJwt: (response: JwtAnswer, request: IssueJwtRequest) => JwtAnswer | Promise<JwtAnswer>;
  /** The revision that answers name for an entry. */
  revisionOf: (entry: FakeEntry) => string;
  /** Listens; on the same port as before after a kill. */
  start(): Promise<void>;
  /** Breaks all connections at once and stops listening. */
  kill(): Promise<void>;
  present(server: ServerCredentials): void;
  /** Sets a pod's entries (none: removes it) and pushes them. */
  setEntries(podUid: string, entries: readonly FakeEntry[]): void;
  /** Signs with `signer` and `jwtSigner` from now on, if they are given, and pushes the bundle. */
  setBundle(bundle: FakeBundle & { signer?: TestAuthority; jwtSigner?: TestJwtAuthority }): void;
  /** Sets the bundle of a foreign trust domain (undefined: it is no longer known) and pushes it. */
  setFederatedBundle(trustDomain: string, bundle: FakeBundle | undefined): void;
  /** Sets a pod's address, which answers and updates carry from now on, and pushes it. */
  setPodIp(podUid: string, ip: string): void;
  /** Answers every issue for the pod with this error; undefined ends that. */
  refuse(podUid: string, code: ErrorCode | undefined): void;
}

/** Makes an issuer that does not listen yet. */
export function fakeIssuer(options: FakeIssuerOptions): FakeIssuer {
  const { trustDomain, ttlMs = 3_600_000, jwtTtlMs = 300_000, now = Date.now } = options;
  const entries = new Map<string, readonly FakeEntry[]>();
  const refusals = new Map<string, ErrorCode>();
  const sessions = new Set<(update: Update) => void>();
  const changes = new EventTarget();
  let presented = options.server;
  let signer = options.authority;
  let jwtSigner = options.jwtAuthority;
  const federated = new Map<string, FakeBundle>();
  const podIps = new Map<string, string>();
  let bundle: FakeBundle = {
    authorities: [options.authority],
    jwtAuthorities: jwtSigner ? [jwtSigner] : [],
    sequence: 1,
  };
  let server: Server | undefined;
  let port = 0;
  let waiting = 0;

  const bundleMessage = () => encode(trustDomain, bundle);
  const foreignMessages = (): BundleMessage[] =>
    [...federated].map(([name, foreign]) => encode(name, foreign));
  const podUpdate = (podUid: string): Update => ({
    update: {
      case: "pod",
      value: {
        podUid,
        podIp: podIps.get(podUid) ?? "",
        entries: (entries.get(podUid) ?? []).map(({ entryId, revision }) => ({
          entryId,
          revision,
        })),
      },
    },
  });
  const bundleUpdate = (): Update => ({ update: { case: "bundle", value: bundleMessage() } });
  const foreignUpdate = (value: BundleMessage): Update => ({
    update: { case: "federatedBundle", value },
  });
  const push = (update: Update): void => sessions.forEach((send) => send(update));
  const see = (
    method: SeenCall["method"],
    context: CallContext,
    podUid = "",
    asked: Partial<Pick<SeenCall, "publicKey" | "audiences" | "spiffeId">> = {},
  ) =>
    fake.calls.push({
      method,
      token: context.header("authorization"),
      podUid,
      publicKey: Buffer.alloc(0),
      audiences: [],
      spiffeId: "",
      ...asked,
    });
  const grantedTo = (podUid: string): readonly FakeEntry[] => {
    const code = refusals.get(podUid);
    if (code) throw new SignetError(code, `refused with ${code}`);
    const granted = entries.get(podUid) ?? [];
    if (granted.length === 0) throw new SignetError("NO_IDENTITY", "nothing selects the pod");
    return granted;
  };
  const issueJwt = async (request: IssueJwtRequest): Promise<JwtAnswer> => {
    const signing = jwtSigner;
    if (!signing) throw new SignetError("UNIMPLEMENTED", "there is no JWT authority");
    const { podUid, audiences, spiffeId } = request;
    const asked = grantedTo(podUid).filter((entry) => ["", entry.spiffeId].includes(spiffeId));
    if (asked.length === 0) throw new SignetError("PERMISSION_DENIED", `not that of ${podUid}`);
    const iat = Math.floor(now() / 1000);
    const exp = iat + Math.floor(jwtTtlMs / 1000);
    const registered = { iss: `spiffe://${trustDomain}`, aud: [...audiences], iat, exp };
    const svids = asked.map(async (entry) => ({
      entryId: entry.entryId,
      revision: fake.revisionOf(entry),
      spiffeId: entry.spiffeId,
      token: await signing.sign({ sub: entry.spiffeId, ...registered, jti: randomUUID() }),
      hint: entry.hint ?? "",
      issuedAt: BigInt(iat * 1000),
      expiresAt: BigInt(exp * 1000),
    }));
    return fake.tamperJwt({ svids: await Promise.all(svids) }, request);
  };
  const issue = async (podUid: string, publicKey: Uint8Array) => {
    const granted = grantedTo(podUid);
    const notBefore = now() - 10_000;
    const notAfter = now() + ttlMs;
    const svids = granted.map(async (entry) => ({
      entryId: entry.entryId,
      revision: fake.revisionOf(entry),
      spiffeId: entry.spiffeId,
      chain: [await signer.issue({ uris: [entry.spiffeId], publicKey, notBefore, notAfter })],
      notBefore: BigInt(notBefore),
      notAfter: BigInt(notAfter),
      hint: entry.hint ?? "",
      federatesWith: [...(entry.federatesWith ?? [])],
    }));
    const names = new Set(granted.flatMap(({ federatesWith = [] }) => federatesWith));
    return fake.tamper({
      svids: await Promise.all(svids),
      bundle: bundleMessage(),
      federatedBundles: foreignMessages().filter((message) => names.has(message.trustDomain ?? "")),
      podIp: podIps.get(podUid) ?? "",
    });
  };
  const entriesOf = async (podUid: string, context: CallContext): Promise<void> => {
    waiting += 1;
    try {
      // As the operator does: answers before the caller's own timer runs out.
      const left = (context.deadline ?? Infinity) - Date.now() - 100;
      const signal = AbortSignal.any([context.signal, AbortSignal.timeout(Math.max(0, left))]);
      while (!entries.has(podUid) && !signal.aborted) await change(changes, signal);
    } finally {
      waiting -= 1;
    }
  };
  const watch = async (send: Send<Update>, context: CallContext): Promise<void> => {
    const queue = [bundleUpdate(), ...[...entries.keys()].map(podUpdate)];
    queue.push(...foreignMessages().map(foreignUpdate));
    queue.push({ update: { case: "synced", value: {} } });
    const enqueue = (update: Update): void => {
      queue.push(update);
      changes.dispatchEvent(new Event("change"));
    };
    sessions.add(enqueue);
    try {
      while (!context.signal.aborted) {
        for (let next = queue.shift(); next; next = queue.shift()) await send(next);
        await change(changes, context.signal);
      }
    } finally {
      sessions.delete(enqueue);
    }
  };

  const fake: FakeIssuer = {
    get port() {
      return port;
    },
    get address() {
      return `127.0.0.1:${port}`;
    },
    get sessions() {
      return sessions.size;
    },
    get waiting() {
      return waiting;
    },
    calls: [],
    tamper: (response) => response,
    tamperJwt: (response) => response,
    revisionOf: (entry) => entry.revision,
    async start() {
      server = new Server();
      addService(server, Issuer, {
        async attest(request, context) {
          see("attest", context, request.podUid, { publicKey: Buffer.from(request.publicKey) });
          if (!request.noWait && !refusals.has(request.podUid))
            await entriesOf(request.podUid, context);
          return issue(request.podUid, request.publicKey);
        },
        async renew(request, context) {
          see("renew", context, request.podUid, { publicKey: Buffer.from(request.publicKey) });
          return issue(request.podUid, request.publicKey);
        },
        async issueJwt(request, context) {
          const { audiences, spiffeId } = request;
          see("issueJwt", context, request.podUid, { audiences, spiffeId });
          return issueJwt(request);
        },
        async watch(_request, send, context) {
          see("watch", context);
          await watch(send, context);
        },
      });
      port = await listen(server, port, presented);
    },
    async kill() {
      server?.forceShutdown();
      server = undefined;
      changes.dispatchEvent(new Event("change"));
      await Promise.resolve();
    },
    present(server) {
      presented = server;
    },
    setEntries(podUid, next) {
      if (next.length === 0) entries.delete(podUid);
      else entries.set(podUid, next);
      push(podUpdate(podUid));
      changes.dispatchEvent(new Event("change"));
    },
    setBundle(next) {
      bundle = next;
      signer = next.signer ?? signer;
      jwtSigner = next.jwtSigner ?? jwtSigner;
      push(bundleUpdate());
    },
    setFederatedBundle(name, foreign) {
      if (foreign) federated.set(name, foreign);
      else federated.delete(name);
      if (foreign) push(foreignUpdate(encode(name, foreign)));
      else push({ update: { case: "federatedBundleGone", value: name } });
    },
    setPodIp(podUid, ip) {
      podIps.set(podUid, ip);
      if (entries.has(podUid)) push(podUpdate(podUid));
    },
    refuse(podUid, code) {
      if (code) refusals.set(podUid, code);
      else refusals.delete(podUid);
    },
  };
  return fake;
}

function encode(trustDomain: string, bundle: FakeBundle): BundleMessage {
  return {
    trustDomain,
    x509Authorities: bundle.authorities.map(({ der }) => der),
    jwtAuthorities: (bundle.jwtAuthorities ?? []).map(({ kid, publicKey, algorithm }) => ({
      keyId: kid,
      publicKey,
      algorithm,
    })),
    sequence: BigInt(bundle.sequence),
    refreshHint: 300,
  };
}

async function change(changes: EventTarget, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await once(changes, "change", { signal }).catch(() => undefined);
}

function listen(
  server: Server,
  port: number,
  { key, certificate }: ServerCredentials,
): Promise<number> {
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
  const credentials = GrpcCredentials.createSsl(null, [pair]);
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
}
