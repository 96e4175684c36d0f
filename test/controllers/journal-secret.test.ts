import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { emptyJournal } from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { journalSecret } from "../../src/controllers/journal-secret.ts";
import type { JournalSecret } from "../../src/controllers/journal-secret.ts";
import { SECRETS } from "../../src/kube/resources.ts";
import type { Secret } from "../../src/kube/types.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { NAMESPACE, openCluster, TRUST_DOMAIN } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

const KEY = { namespace: NAMESPACE, name: "signet-ca" };

let cluster: TestCluster;
let store: JournalSecret;
beforeEach(async () => {
  cluster = await openCluster();
  store = journalSecret(cluster.client, KEY, TRUST_DOMAIN);
});
afterEach(() => cluster.close());

async function newJournal(now = Date.now()): Promise<Journal> {
  return (await rotateJournal(emptyJournal(TRUST_DOMAIN), now, { ttlMs: 3_600_000 })).journal;
}

const secret = (): Secret | undefined => cluster.server.objects<Secret>(SECRETS)[0];

describe("journalSecret", () => {
  it("finds nothing where there is no Secret", async () => {
    expect(await store.load()).toBeUndefined();
  });

  it("reads back what it stored, with the version that the API server gave it", async () => {
    const journal = await newJournal();
    const created = await store.create(journal);
    expect(created).toEqual({ journal, resourceVersion: secret()?.metadata.resourceVersion });
    expect(await store.load()).toEqual(created);
    expect(secret()).toMatchObject({
      type: "signet.dev/ca-journal",
      metadata: { ...KEY, labels: { "app.kubernetes.io/name": "signet" } },
    });
  });

  it("gives the Secret no owner: it must outlive the chart", async () => {
    await store.create(await newJournal());
    expect(secret()?.metadata.ownerReferences).toBeUndefined();
  });

  it("never replaces a Secret when it should create one", async () => {
    const first = await newJournal();
    await store.create(first);
    await expect(store.create(await newJournal())).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
    });
    expect((await store.load())?.journal).toEqual(first);
  });

  it("replaces only the version that the writer had read", async () => {
    const base = await store.create(await newJournal());
    const second = await newJournal();
    const updated = await store.update(second, base);
    expect(updated.journal).toEqual(second);
    await expect(store.update(await newJournal(), base)).rejects.toMatchObject({
      code: "CONFLICT",
    });
    expect(await store.load()).toEqual(updated);
  });

  it("says what a Secret without a journal lacks", async () => {
    cluster.server.put<Secret>(SECRETS, { metadata: KEY, data: {} });
    await expect(store.load()).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringContaining("signet-system/signet-ca has no journal.json"),
    });
  });

  it("names the Secret and the way out where the journal is broken", async () => {
    const data = { "journal.json": Buffer.from("{").toString("base64") };
    cluster.server.put<Secret>(SECRETS, { metadata: KEY, data });
    await expect(store.load()).rejects.toMatchObject({
      code: "MALFORMED",
      message:
        "Secret signet-system/signet-ca: the CA journal is not JSON; restore it from a backup, or delete the Secret to begin with a new CA",
    });
  });

  it("refuses the journal of another trust domain", async () => {
    await store.create(await newJournal());
    const other = journalSecret(cluster.client, KEY, parseTrustDomain("other.org"));
    await expect(other.load()).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
  });

  it("shows no key in the error about a broken journal", async () => {
    await store.create(await newJournal());
    const data = secret()?.data?.["journal.json"] ?? "";
    const text = Buffer.from(data, "base64").toString().replace('"active"', '"activ"');
    cluster.server.put<Secret>(SECRETS, {
      metadata: KEY,
      data: { "journal.json": Buffer.from(text).toString("base64") },
    });
    const error = await store.load().catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: "MALFORMED" });
    expect(String((error as Error).stack)).not.toContain("PRIVATE KEY");
  });
});
