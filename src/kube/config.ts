import type { Clock } from "../core/clock.ts";
import { errorMessage, SignetError } from "../core/errors.ts";

/** How to reach one API server; what can rotate is a function that answers with its current value. */
export interface KubeConfig {
  /** `https://host:port`, with a path prefix where a proxy needs one. */
  readonly server: string;
  /** PEM; undefined means the system's trust store. */
  readonly ca: () => string | undefined;
  /** Bearer token; undefined when a client certificate is used instead. */
  readonly token: () => string | undefined;
  readonly clientCertificate?: () => ClientCertificate | undefined;
  /** Name to verify in the server's certificate instead of the host of `server`. */
  readonly serverName?: string;
  /** Where the caller lives: the default namespace. */
  readonly namespace: string;
  /** Renews a credential that has run out, such as an exec plugin's; awaited before every request. */
  readonly refresh?: () => Promise<void>;
}

/** Both PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface InClusterOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a whole text file; throws when it cannot. */
  readonly readFile: (path: string) => string;
  readonly clock: Clock;
}

const SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Projected tokens live 10 min at least and are replaced at 80 %, so a minute-old copy is always valid. */
const REREAD_MS = 60_000;

/**
 * The configuration a pod finds in its environment and service account volume; token and CA are read again every
 * 60 s, so that rotations need no restart. Throws FAILED_PRECONDITION outside a pod.
 */
export function loadInCluster(options: InClusterOptions): KubeConfig {
  const { env, readFile, clock } = options;
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  if (!host || !port) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this process does not run in a pod",
    );
  }
  const read = (file: string): string => readServiceAccountFile(readFile, file);
  const token = rereading(() => read("token").trim(), clock);
  const ca = rereading(() => read("ca.crt"), clock);
  token();
  ca();
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca,
    token,
    namespace: read("namespace").trim(),
  };
}

function readServiceAccountFile(readFile: (path: string) => string, file: string): string {
  const path = `${SERVICE_ACCOUNT_DIR}/${file}`;
  try {
    return readFile(path);
  } catch (error) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `cannot read ${path}: ${errorMessage(error)}; is automountServiceAccountToken off?`,
      { cause: error },
    );
  }
}

/**
 * Calls `read` at most every 60 s. A later read that fails keeps the last value: it may still be valid, and when it
 * is not, the API server says so.
 */
export function rereading(read: () => string, clock: Clock): () => string {
  let value: string | undefined;
  let readAt = 0;
  return () => {
    if (value !== undefined && clock.now() - readAt < REREAD_MS) return value;
    try {
      value = read();
    } catch (error) {
      if (value === undefined) throw error;
    }
    readAt = clock.now();
    return value;
  };
}
