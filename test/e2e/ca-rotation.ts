import { createX509Authority } from "../../src/ca/authority.ts";
import { decodeJournal, encodeJournal } from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import { activateAuthority, prepareAuthority } from "../../src/ca/rotation.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { NAMESPACE, TRUST_DOMAIN } from "./world.ts";
import type { World } from "./world.ts";

const DAY_MS = 86_400_000;
const trustDomain = parseTrustDomain(TRUST_DOMAIN);

/** Publishes a new X.509 authority beside the active one, as the leader does at half of that one's life; gives its certificate. */
export async function prepareNextAuthority(
  world: World,
): Promise<{ readonly id: string; readonly certificate: string }> {
  const now = Date.now();
  const made = await createX509Authority({
    trustDomain,
    keyType: "ec-p256",
    ttlMs: 90 * DAY_MS,
    now,
  });
  await changeJournal(world, (journal) =>
    prepareAuthority(journal, { kind: "x509", ...made }, now),
  );
  return { id: made.id, certificate: made.certificate };
}

/** Lets the prepared authority sign, as the leader does near the end of the active one's life. */
export function activateNextAuthority(world: World, id: string): Promise<void> {
  return changeJournal(world, (journal) =>
    activateAuthority(journal, { kind: "x509", id }, Date.now()),
  );
}

/** Writes the CA's Secret as an operator that leads would: all replicas follow it. */
async function changeJournal(world: World, change: (journal: Journal) => Journal): Promise<void> {
  await world.until("the journal to be written", async () => {
    const secret = await world.get("secret", "signet-ca", NAMESPACE);
    const stored = Buffer.from(secret.data["journal.json"], "base64").toString();
    const next = encodeJournal(change(decodeJournal(stored, trustDomain)));
    secret.data["journal.json"] = Buffer.from(next).toString("base64");
    // Refused when somebody else wrote in between.
    await world.cluster.kubectl(["replace", "-f", "-"], { input: JSON.stringify(secret) });
    return true;
  });
}
