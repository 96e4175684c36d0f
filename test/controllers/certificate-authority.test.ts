import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import type { JWK } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { authoritiesOf, x509Authorities } from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import type { RotateOptions } from "../../src/ca/rotate.ts";
import { openCertificateAuthority } from "../../src/controllers/certificate-authority.ts";
import type { CaController, CaState } from "../../src/controllers/certificate-authority.ts";
import { journalSecret } from "../../src/controllers/journal-secret.ts";
import { manualClock, systemClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { startReflector } from "../../src/kube/reflector.ts";
import { SECRETS } from "../../src/kube/resources.ts";
import type { Secret } from "../../src/kube/types.ts";
import { recordingLog } from "../csi/fixtures.ts";
import { eventually, NAMESPACE, openCluster, TRUST_DOMAIN } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

const HOUR = 3_600_000;
const KEY = { namespace: NAMESPACE, name: "signet-ca" };
const NOT_FOUND = {
  status: 404,
  body: { kind: "Status", status: "Failure", reason: "NotFound", message: "not found", code: 404 },
};

let cluster: TestCluster;
let clock: ManualClock;
beforeEach(async () => {
  cluster = await openCluster();
  clock = manualClock(Date.UTC(2026, 0, 1));
});
afterEach(() => cluster.close());

const storeOf = (client: KubeClient) => journalSecret(client, KEY, TRUST_DOMAIN);

/** A replica's CA whose authorities live for twelve hours. */
function openCa(
  client = cluster.client,
  log = silentLog(),
  rotation: Partial<RotateOptions> = {},
): Promise<CaController> {
  return openCertificateAuthority({
    secret: storeOf(client),
    trustDomain: TRUST_DOMAIN,
    rotation: { ttlMs: 12 * HOUR, ...rotation },
    jwtIssuer: `spiffe://${TRUST_DOMAIN}`,
    clock,
    log,
  });
}

const storedJournal = async (): Promise<Journal | undefined> =>
  (await storeOf(cluster.client).load())?.journal;
const statuses = (journal: Journal | undefined) =>
  journal && x509Authorities(journal).map(({ status }) => status);
const journalOf = (ca: CaController): Journal => ca.state.get().stored.journal;
const asleep = () => eventually(() => expect(clock.sleeping).toBe(1));

/** Keeps every state that a controller goes through. */
function statesOf(ca: CaController): CaState[] {
  const states = [ca.state.get()];
  ca.state.subscribe((state) => void states.push(state));
  return states;
}

/** Follows the Secret with a real watch, as every replica does. */
async function follow(ca: CaController, client: KubeClient): Promise<void> {
  const observe = (secret: Secret): void => ca.observe(storeOf(client).decode(secret));
  const reflector = startReflector<Secret>({
    client,
    resource: SECRETS,
    namespace: NAMESPACE,
    fieldSelector: `metadata.name=${KEY.name}`,
    handler: { replace: (all) => all.forEach(observe), apply: observe, remove: () => undefined },
    clock: systemClock(),
    log: silentLog(),
    random: Math.random,
  });
  cluster.onClose(() => reflector.stop());
  await reflector.synced;
}

describe("opening", () => {
  it("makes the first authority, active, and stores it", async () => {
    const ca = await openCa();
    expect(statuses(await storedJournal())).toEqual(["active"]);
    expect(ca.state.get().bundle.x509Authorities).toEqual([
      ca.state.get().issuer.authority.certificate,
    ]);
  });

  it("takes over what an earlier process stored", async () => {
    const first = await openCa();
    const second = await openCa(cluster.connect("replica-b"));
    expect(second.state.get().stored).toEqual(first.state.get().stored);
  });

  it("ends with one CA when two replicas race to make it", async () => {
    const first = await openCa();
    let hidden = false;
    cluster.server.intercept = ({ method, headers }) => {
      const isFirstLook =
        !hidden && method === "GET" && headers.authorization?.includes("replica-b");
      if (!isFirstLook) return undefined;
      hidden = true;
      return NOT_FOUND;
    };
    const second = await openCa(cluster.connect("replica-b"));
    const writes = cluster.server.requests.filter(({ method }) => method === "POST");
    expect(writes).toHaveLength(2);
    expect(second.state.get().stored).toEqual(first.state.get().stored);
    expect(await storedJournal()).toEqual(journalOf(first));
  });

  it("can be tried again when the Secret came and went", async () => {
    await openCa();
    cluster.server.intercept = ({ method }) => (method === "GET" ? NOT_FOUND : undefined);
    await expect(openCa()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

describe("the refresh hint", () => {
  const hintOf = async (rotation: Partial<RotateOptions>) =>
    (await openCa(cluster.client, silentLog(), rotation)).state.get().bundle.refreshHint;

  it.each<[number, Partial<RotateOptions>]>([
    [300, { ttlMs: 5 * HOUR }],
    [60, { ttlMs: HOUR }],
    [60, { ttlMs: 90 * HOUR, jwt: { algorithm: "ES256", ttlMs: HOUR } }],
    [1, { ttlMs: 10_000 }],
  ])("is %s s, so that consumers see a key before it signs: %j", async (hint, rotation) => {
    expect(await hintOf(rotation)).toBe(hint);
  });
});

describe("rotation", () => {
  it("lets no authority sign that was not in the bundle before, on any replica", async () => {
    const leader = await openCa();
    const observer = await openCa(cluster.connect("replica-b"));
    await follow(observer, cluster.connect("replica-b"));
    const seen = [statesOf(leader), statesOf(observer)];
    cluster.run((signal) => leader.rotate(signal));
    await asleep();
    for (let step = 0; step < 24; step += 1) {
      await clock.advance(HOUR);
      await asleep();
      await eventually(() => expect(journalOf(observer)).toEqual(journalOf(leader)));
    }
    for (const states of seen) {
      const signers = new Set(states.map(({ issuer }) => issuer.authority.id));
      expect(signers.size).toBeGreaterThanOrEqual(3);
      for (const [index, { issuer }] of states.entries()) {
        const { bundle } = states[index - 1] ?? states[0] ?? { bundle: undefined };
        expect(bundle?.x509Authorities).toContainEqual(issuer.authority.certificate);
      }
    }
  });

  it("prepares at half of the lifetime and activates at five sixths", async () => {
    const ca = await openCa();
    cluster.run((signal) => ca.rotate(signal));
    const timeline: unknown[] = [];
    for (const hours of [5, 1, 3, 1]) {
      await asleep();
      await clock.advance(hours * HOUR);
      await asleep();
      timeline.push(statuses(await storedJournal()));
    }
    const both = ["active", "prepared"];
    expect(timeline).toEqual([["active"], both, both, ["old", "active"]]);
  });

  it("goes on from what another replica wrote, instead of replacing it", async () => {
    const [first, second] = [await openCa(), await openCa(cluster.connect("replica-b"))];
    await clock.advance(6 * HOUR);
    const stop = cluster.run((signal) => first.rotate(signal));
    await eventually(async () =>
      expect(statuses(await storedJournal())).toEqual(["active", "prepared"]),
    );
    await stop();
    cluster.run((signal) => second.rotate(signal));
    await eventually(() => expect(journalOf(second)).toEqual(journalOf(first)));
    await clock.advance(1000);
    await asleep();
    expect(await storedJournal()).toEqual(journalOf(first));
    const writes = cluster.server.requests.filter(({ method }) => method === "PUT");
    expect(writes).toHaveLength(1);
  });

  it("goes on with its own journal when the Secret was set back to an older one", async () => {
    const ca = await openCa();
    const backup = cluster.server.objects<Secret>(SECRETS)[0];
    await clock.advance(6 * HOUR);
    const stop = cluster.run((signal) => ca.rotate(signal));
    await eventually(() => expect(statuses(journalOf(ca))).toEqual(["active", "prepared"]));
    await stop();
    const prepared = x509Authorities(journalOf(ca), "prepared")[0]?.id;
    cluster.server.put<Secret>(SECRETS, { ...backup, metadata: { ...KEY } });
    await clock.advance(4 * HOUR);
    cluster.run((signal) => ca.rotate(signal));
    await asleep();
    await clock.advance(1000);
    await eventually(() => expect(statuses(journalOf(ca))).toEqual(["old", "active"]));
    expect(ca.state.get().issuer.authority.id).toBe(prepared);
    expect(await storedJournal()).toEqual(journalOf(ca));
  });

  it("tries again when the journal cannot be stored, and uses nothing that is not", async () => {
    const ca = await openCa();
    const log = recordingLog();
    let refusals = 0;
    cluster.server.intercept = ({ method }) => {
      if (method !== "PUT" || refusals > 0) return undefined;
      refusals += 1;
      return { status: 500, body: {} };
    };
    const replica = await openCa(cluster.client, log);
    await clock.advance(6 * HOUR);
    cluster.run((signal) => replica.rotate(signal));
    await asleep();
    expect(refusals).toBe(1);
    expect(journalOf(replica)).toEqual(journalOf(ca));
    expect(log.lines.map(({ level }) => level)).toContain("error");
    await clock.advance(1000);
    await eventually(() => expect(statuses(journalOf(replica))).toEqual(["active", "prepared"]));
    expect(await storedJournal()).toEqual(journalOf(replica));
  });
});

const JWT = { jwt: { algorithm: "ES256", ttlMs: 6 * HOUR } } as const;
const openWithJwt = (client = cluster.client) => openCa(client, silentLog(), JWT);
const jwtStatuses = (journal: Journal | undefined) =>
  journal && authoritiesOf(journal, "jwt").map(({ status }) => status);

function askJwt(ca: CaController): ReturnType<CaState["issueJwt"]> {
  const spiffeId = `spiffe://${TRUST_DOMAIN}/a`;
  const request = { spiffeId, audiences: ["a"], ttlMs: 60_000, now: clock.now(), claims: {} };
  return ca.state.get().issueJwt(request);
}

describe("JWT authorities", () => {
  it("sign from the first moment of a new trust domain, as the configured issuer", async () => {
    const ca = await openWithJwt();
    const { token } = await askJwt(ca);
    const { bundle } = ca.state.get();
    const keys = createLocalJWKSet({ keys: bundle.jwtAuthorities as JWK[] });
    const rules = { issuer: `spiffe://${TRUST_DOMAIN}`, currentDate: new Date(clock.now()) };
    await expect(jwtVerify(token, keys, rules)).resolves.toBeDefined();
  });

  it("come to a journal of an earlier version with the leader's first turn, and to every replica", async () => {
    const before = journalOf(await openCa());
    const [leader, other] = [await openWithJwt(), await openWithJwt(cluster.connect("replica-b"))];
    expect(journalOf(leader)).toEqual(before);
    await expect(askJwt(other)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await follow(other, cluster.connect("replica-b"));
    cluster.run((signal) => leader.rotate(signal));
    await asleep();
    await eventually(() => expect(journalOf(other)).toEqual(journalOf(leader)));
    expect(jwtStatuses(journalOf(other))).toEqual(["active"]);
    expect(statuses(journalOf(other))).toEqual(["active"]);
    await expect(askJwt(other)).resolves.toBeDefined();
    expect(other.state.get().bundle.sequence).toBe(before.sequence + 1);
  });

  it("sign with no key that was not in the bundle before, on any replica", async () => {
    const leader = await openWithJwt();
    const observer = await openWithJwt(cluster.connect("replica-b"));
    await follow(observer, cluster.connect("replica-b"));
    const seen = [statesOf(leader), statesOf(observer)];
    cluster.run((signal) => leader.rotate(signal));
    await asleep();
    for (let step = 0; step < 18; step += 1) {
      await clock.advance(HOUR);
      await asleep();
      await eventually(() => expect(journalOf(observer)).toEqual(journalOf(leader)));
    }
    for (const states of seen) {
      const signers = new Set(states.map(({ jwtIssuer }) => jwtIssuer?.authority.id));
      expect(signers.size).toBeGreaterThanOrEqual(3);
      for (const [index, { jwtIssuer }] of states.entries()) {
        const { bundle } = states[index - 1] ?? states[0] ?? { bundle: undefined };
        expect(bundle?.jwtAuthorities).toContainEqual(jwtIssuer?.authority.verifier);
      }
    }
  });

  it("keep an activation when a late event shows the state before it", async () => {
    const ca = await openWithJwt();
    cluster.run((signal) => ca.rotate(signal));
    await asleep();
    for (const hours of [3, 1]) {
      await clock.advance(hours * HOUR);
      await asleep();
    }
    const before = ca.state.get().stored;
    expect(jwtStatuses(before.journal)).toEqual(["active", "prepared"]);
    await clock.advance(HOUR);
    await asleep();
    const used = ca.state.get();
    expect(jwtStatuses(used.stored.journal)).toEqual(["old", "active"]);
    expect(used.stored.journal.sequence).toBe(before.journal.sequence);
    ca.observe(before);
    expect(ca.state.get()).toBe(used);
  });

  it("name the issuer that is configured", async () => {
    const ca = await openCertificateAuthority({
      secret: storeOf(cluster.client),
      trustDomain: TRUST_DOMAIN,
      rotation: { ttlMs: 12 * HOUR, ...JWT },
      jwtIssuer: "https://oidc.example.org",
      clock,
      log: silentLog(),
    });
    expect(decodeJwt((await askJwt(ca)).token).iss).toBe("https://oidc.example.org");
  });
});

describe("observing", () => {
  it("keeps the newer journal when an older one comes", async () => {
    const log = recordingLog();
    const ca = await openCa(cluster.client, log);
    const older = ca.state.get().stored;
    await clock.advance(6 * HOUR);
    cluster.run((signal) => ca.rotate(signal));
    await eventually(() => expect(statuses(journalOf(ca))).toEqual(["active", "prepared"]));
    const used = ca.state.get();
    ca.observe({ ...older, resourceVersion: "99999" });
    expect(ca.state.get()).toBe(used);
    expect(log.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  it("keeps an activation when a late event shows the state before it", async () => {
    const ca = await openCa();
    cluster.run((signal) => ca.rotate(signal));
    await asleep();
    await clock.advance(6 * HOUR);
    await asleep();
    const before = ca.state.get().stored;
    await clock.advance(4 * HOUR);
    await asleep();
    const used = ca.state.get();
    expect(used.stored.journal.sequence).toBe(before.journal.sequence);
    ca.observe(before);
    expect(ca.state.get()).toBe(used);
  });

  it("changes nothing when it sees its own write", async () => {
    const ca = await openCa();
    const used = ca.state.get();
    ca.observe({ ...used.stored });
    expect(ca.state.get()).toBe(used);
  });
});

describe("restoring", () => {
  it("writes a deleted Secret back as it was", async () => {
    const ca = await openCa();
    cluster.server.delete(SECRETS, KEY);
    const { journal } = ca.state.get().stored;
    await ca.restore();
    expect(await storedJournal()).toEqual(journal);
    expect(ca.state.get().stored.resourceVersion).toBe(
      cluster.server.objects<Secret>(SECRETS)[0]?.metadata.resourceVersion,
    );
  });

  it("leaves what another replica was faster to write back", async () => {
    const [first, second] = [await openCa(), await openCa(cluster.connect("replica-b"))];
    cluster.server.delete(SECRETS, KEY);
    await first.restore();
    await expect(second.restore()).rejects.toMatchObject({ code: "ALREADY_EXISTS" });
    expect(await storedJournal()).toEqual(journalOf(first));
  });

  it("lets rotation go on", async () => {
    const ca = await openCa();
    cluster.server.delete(SECRETS, KEY);
    await ca.restore();
    await clock.advance(6 * HOUR);
    cluster.run((signal) => ca.rotate(signal));
    await eventually(async () =>
      expect(statuses(await storedJournal())).toEqual(["active", "prepared"]),
    );
  });
});

describe("a CA that was left alone for too long", () => {
  it("opens with the next authority when the active one has expired meanwhile, on every replica alike", async () => {
    const before = journalOf(await openCa());
    await clock.advance(13 * HOUR);
    const [one, other] = await Promise.all([openCa(), openCa()]);
    const active = x509Authorities(journalOf(one), "active");
    expect(active).toHaveLength(1);
    expect(active[0]?.id).not.toBe(x509Authorities(before, "active")[0]?.id);
    expect(active[0]?.notAfter).toBeGreaterThan(clock.now());
    expect(journalOf(other)).toEqual(journalOf(one));
    expect(await storedJournal()).toEqual(journalOf(one));
  });
});

describe("two journals that grew apart", () => {
  const ids = (journal: Journal | undefined) =>
    journal && x509Authorities(journal).map(({ id }) => id);
  const storedSecret = () => storeOf(cluster.client).load();

  /** A replica that started while the Secret was gone, and made a new CA before it was written back. */
  async function strangers(): Promise<CaController[]> {
    const before = await openCa();
    cluster.server.delete(SECRETS, KEY);
    await clock.advance(1000);
    return [before, await openCa(cluster.connect("replica-b"))];
  }

  it.each([
    ["the replica with the authority that signed all SVIDs", 0],
    ["the replica that made a new one", 1],
  ])("become one that every replica uses, whoever leads: %s", async (_who, leading) => {
    const replicas = await strangers();
    const all = new Set(replicas.flatMap((ca) => ids(journalOf(ca))));
    expect(all.size).toBe(2);
    const seen = replicas.map(statesOf);
    await Promise.all(replicas.map((ca, at) => follow(ca, cluster.connect(`follower-${at}`))));
    cluster.run(async (signal) => replicas[leading]?.rotate(signal));
    await eventually(async () => {
      const stored = await storedSecret();
      expect(new Set(ids(stored?.journal))).toEqual(all);
      for (const ca of replicas) expect(journalOf(ca)).toEqual(stored?.journal);
    });
    expect(statuses(await storedJournal())?.toSorted()).toEqual(["active", "old"]);
    for (const states of seen) {
      const [first] = states;
      for (const { bundle } of states) {
        expect(bundle.x509Authorities).toContainEqual(first?.issuer.authority.certificate);
      }
    }
  });

  it("keep the authority in use when a replica revives an old backup", async () => {
    const leader = await openCa();
    const backup = cluster.server.objects<Secret>(SECRETS)[0];
    cluster.run((signal) => leader.rotate(signal));
    for (const hours of [6, 4]) {
      await asleep();
      await clock.advance(hours * HOUR);
    }
    await eventually(() => expect(statuses(journalOf(leader))).toEqual(["old", "active"]));
    const { issuer } = leader.state.get();
    await asleep();
    cluster.server.put<Secret>(SECRETS, { ...backup, metadata: { ...KEY } });
    const late = manualClock(clock.now() + 3 * HOUR);
    const revived = await openCertificateAuthority({
      secret: storeOf(cluster.connect("replica-b")),
      trustDomain: TRUST_DOMAIN,
      rotation: { ttlMs: 12 * HOUR },
      jwtIssuer: "",
      clock: late,
      log: silentLog(),
    });
    await follow(leader, cluster.client);
    await follow(revived, cluster.connect("replica-b"));
    await eventually(async () => {
      const stored = await storedJournal();
      expect(ids(stored)).toContain(issuer.authority.id);
      expect(journalOf(leader)).toEqual(stored);
      expect(journalOf(revived)).toEqual(stored);
    });
    expect(leader.state.get().issuer.authority.id).toBe(issuer.authority.id);
  });
});

describe("a leader whose Secret is gone or older", () => {
  it("writes back what is in use, however often it failed before", async () => {
    const ca = await openCa();
    const used = journalOf(ca);
    cluster.server.delete(SECRETS, KEY);
    let refused = 0;
    cluster.server.intercept = ({ method }) => {
      if (method !== "POST" || refused > 2) return undefined;
      refused += 1;
      return { status: 500, body: {} };
    };
    const stop = cluster.run((signal) => ca.rotate(signal));
    for (let turn = 0; turn < 5; turn += 1) {
      await asleep();
      await clock.advance(60_000);
    }
    await eventually(async () => expect(await storedJournal()).toEqual(used));
    await stop();
  });
});
