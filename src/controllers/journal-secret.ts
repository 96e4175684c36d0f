import { decodeJournal, encodeJournal } from "../ca/journal.ts";
import type { Journal } from "../ca/journal.ts";
import { isSignetError, SignetError, toSignetError } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import { SECRETS } from "../kube/resources.ts";
import type { ObjectKey } from "../kube/resources.ts";
import type { NewObject, Secret } from "../kube/types.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";

const JOURNAL_KEY = "journal.json";
const WAY_OUT = "restore it from a backup, or delete the Secret to begin with a new CA";

/** A journal as it is stored, with the version that the next write must be based on. */
export interface StoredJournal {
  readonly journal: Journal;
  readonly resourceVersion: string;
}

/** Where the CA's journal is kept: one Secret, written only by whoever read it last. */
export interface JournalSecret {
  /** The stored journal, or undefined when there is no Secret yet. */
  load(): Promise<StoredJournal | undefined>;
  /** Stores the first journal. Throws ALREADY_EXISTS when another replica was faster. */
  create(journal: Journal): Promise<StoredJournal>;
  /** Replaces the journal. Throws CONFLICT when it changed since `base` was read. */
  update(journal: Journal, base: StoredJournal): Promise<StoredJournal>;
  /** Reads a Secret that a watch brought. */
  decode(secret: Secret): StoredJournal;
}

/** Keeps the journal in the Secret `key`. It has no owner: it outlives the chart, and so does the trust domain. */
export function journalSecret(
  client: KubeClient,
  key: ObjectKey,
  trustDomain: TrustDomain,
): JournalSecret {
  const at = `Secret ${key.namespace}/${key.name}`;
  const decode = (secret: Secret): StoredJournal => {
    const data = secret.data?.[JOURNAL_KEY];
    if (data === undefined) {
      throw new SignetError("FAILED_PRECONDITION", `${at} has no ${JOURNAL_KEY}; ${WAY_OUT}`);
    }
    const journal = decodeNamed(Buffer.from(data, "base64").toString("utf8"), { at, trustDomain });
    return { journal, resourceVersion: secret.metadata.resourceVersion };
  };
  const toSecret = (journal: Journal, resourceVersion?: string): NewObject<Secret> => ({
    apiVersion: "v1",
    kind: "Secret",
    type: "signet.dev/ca-journal",
    metadata: {
      name: key.name,
      ...(key.namespace === undefined ? {} : { namespace: key.namespace }),
      labels: { "app.kubernetes.io/name": "signet", "app.kubernetes.io/component": "ca" },
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    data: { [JOURNAL_KEY]: Buffer.from(encodeJournal(journal)).toString("base64") },
  });
  return {
    decode,
    async load() {
      try {
        return decode(await client.get<Secret>(SECRETS, key));
      } catch (error) {
        if (isSignetError(error, "NOT_FOUND")) return undefined;
        throw error;
      }
    },
    async create(journal) {
      return decode(await client.create<Secret>(SECRETS, toSecret(journal)));
    },
    async update(journal, base) {
      const secret = toSecret(journal, base.resourceVersion) as Secret;
      return decode(await client.update<Secret>(SECRETS, secret));
    },
  };
}

/** As `decodeJournal`; what it throws names the Secret and, where the journal itself is broken, the way out. */
function decodeNamed(
  text: string,
  { at, trustDomain }: { readonly at: string; readonly trustDomain: TrustDomain },
): Journal {
  try {
    return decodeJournal(text, trustDomain);
  } catch (error) {
    const { code, message } = toSignetError(error);
    const wayOut = code === "MALFORMED" ? `; ${WAY_OUT}` : "";
    throw new SignetError(code, `${at}: ${message}${wayOut}`);
  }
}
