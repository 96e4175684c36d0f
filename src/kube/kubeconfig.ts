import { parse } from "yaml";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { ClientCertificate, KubeConfig } from "./config.ts";
import { execCredential } from "./exec-credential.ts";
import type { ExecEnvironment } from "./exec-credential.ts";
import { parseExecPlugin } from "./exec-plugin.ts";
import { isFields, malformed, textOf } from "./kubeconfig-fields.ts";
import type { Fields } from "./kubeconfig-fields.ts";

export interface KubeconfigOptions {
  /** Which context to take; the file's current one when left out. */
  readonly context?: string;
  /** Reads the files the kubeconfig names; without it such a kubeconfig is refused. */
  readonly readFile?: (path: string) => string;
  /** Where credential plugins run; without it a kubeconfig that names one is refused. */
  readonly exec?: ExecEnvironment;
}

/** Fields of a user that change who asks: to pass over them would ask as somebody else. */
const UNSUPPORTED_USER_FIELDS = [
  "auth-provider",
  "username",
  "as",
  "as-uid",
  "as-groups",
  "as-user-extra",
];

/** Reads one kubeconfig, see `selectContext`. Throws MALFORMED when the text is no YAML map, too. */
export function loadKubeconfig(yamlText: string, options: KubeconfigOptions = {}): KubeConfig {
  return selectContext(parseKubeconfig(yamlText), options);
}

/** The map that a kubeconfig holds. */
export function parseKubeconfig(yamlText: string): Fields {
  let root: unknown;
  try {
    root = parse(yamlText);
  } catch (error) {
    throw malformed(errorMessage(error), error);
  }
  if (!isFields(root)) throw malformed("it is not a YAML map");
  return root;
}

/**
 * What a kubeconfig says of one context: a client certificate, a token, a token file (read at every request) or a
 * credential plugin (run by the first request). Throws MALFORMED for what is incomplete, FAILED_PRECONDITION for what is
 * not supported: auth providers, passwords, impersonation, unverified TLS, proxies.
 */
export function selectContext(root: Fields, options: KubeconfigOptions): KubeConfig {
  const contextName = options.context ?? textOf(root, "current-context");
  if (contextName === undefined) throw malformed("it has no current-context");
  const context = named(root, "contexts", contextName, "context");
  const clusterName = textOf(context, "cluster") ?? "";
  const userName = textOf(context, "user") ?? "";
  const cluster = named(root, "clusters", clusterName, "cluster");
  const user = named(root, "users", userName, "user");
  refuseUnsupported(cluster, user, { clusterName, userName });
  const server = textOf(cluster, "server");
  if (server === undefined) throw malformed(`cluster "${clusterName}" has no server`);
  const ca = material(cluster, "certificate-authority", options);
  const serverName = textOf(cluster, "tls-server-name");
  return {
    server: server.replace(/\/+$/, ""),
    ca: () => ca,
    ...credentialOf({ user, userName, cluster, ca }, options),
    ...(serverName === undefined ? {} : { serverName }),
    namespace: textOf(context, "namespace") ?? "default",
  };
}

function refuseUnsupported(
  cluster: Fields,
  user: Fields,
  { clusterName, userName }: { readonly clusterName: string; readonly userName: string },
): void {
  const unsupported = UNSUPPORTED_USER_FIELDS.find((field) => field in user);
  if (unsupported !== undefined) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `user "${userName}" of the kubeconfig uses ${unsupported}, which is not supported; ` +
        "use a client certificate, a token or an exec plugin",
    );
  }
  if (cluster["insecure-skip-tls-verify"] === true) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      "the kubeconfig sets insecure-skip-tls-verify, which is not supported; give certificate-authority-data instead",
    );
  }
  if (textOf(cluster, "proxy-url") !== undefined) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `cluster "${clusterName}" of the kubeconfig sets proxy-url, which is not supported; ` +
        "use a context that reaches the API server directly",
    );
  }
}

interface Account {
  readonly user: Fields;
  readonly userName: string;
  readonly cluster: Fields;
  readonly ca: string | undefined;
}

function credentialOf(
  account: Account,
  options: KubeconfigOptions,
): Pick<KubeConfig, "token" | "clientCertificate" | "refresh"> {
  const { user } = account;
  const certificate = certificateOf(user, options);
  const token = tokenOf(user, options);
  if (token !== undefined || certificate !== undefined || !("exec" in user)) {
    return { token: token ?? (() => undefined), clientCertificate: () => certificate };
  }
  if (options.exec === undefined) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `user "${account.userName}" of the kubeconfig uses exec, which is not allowed here; use a client certificate or a token`,
    );
  }
  const { cluster: fields, ca } = account;
  const plugin = parseExecPlugin(user["exec"], account.userName, { fields, ca });
  const credential = execCredential(plugin, options.exec);
  return {
    token: () => credential.current()?.token,
    clientCertificate: () => credential.current()?.clientCertificate,
    refresh: () => credential.refresh(),
  };
}

function certificateOf(user: Fields, options: KubeconfigOptions): ClientCertificate | undefined {
  const cert = material(user, "client-certificate", options);
  const key = material(user, "client-key", options);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

/** A token file wins over a token, as in kubectl; it may be replaced at any time. */
function tokenOf(user: Fields, options: KubeconfigOptions): (() => string) | undefined {
  const path = textOf(user, "tokenFile");
  if (path !== undefined) {
    const { readFile } = options;
    if (!readFile) throw malformed(`tokenFile names the file ${path}, not inline data`);
    return () => readFile(path).trim();
  }
  const token = textOf(user, "token");
  return token === undefined ? undefined : () => token;
}

/** PEM text from `<field>-data` (base64) or from the file that `<field>` names. */
function material(from: Fields, field: string, options: KubeconfigOptions): string | undefined {
  const data = textOf(from, `${field}-data`);
  if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
  const path = textOf(from, field);
  if (path === undefined) return undefined;
  if (!options.readFile) throw malformed(`${field} names the file ${path}, not inline data`);
  return options.readFile(path);
}

/** The entry `name` of a kubeconfig list: `{name, <inner>: {...}}`. */
function named(root: Fields, list: string, name: string, inner: string): Fields {
  const entries = root[list];
  const found = Array.isArray(entries)
    ? entries.find((entry: unknown) => isFields(entry) && entry["name"] === name)
    : undefined;
  const value: unknown = isFields(found) ? found[inner] : undefined;
  if (!isFields(value)) throw malformed(`it has no ${inner} "${name}"`);
  return value;
}
