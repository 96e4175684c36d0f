import { parse } from "yaml";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { KubeConfig } from "./config.ts";

export interface KubeconfigOptions {
  /** Which context to take; the file's current one when left out. */
  readonly context?: string;
  /** Reads the files the kubeconfig names; without it such a kubeconfig is refused. */
  readonly readFile?: (path: string) => string;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a kubeconfig with a static credential (client certificate or token).
 * Throws MALFORMED when the YAML is no kubeconfig, FAILED_PRECONDITION for what is not supported: exec plugins,
 * auth providers, passwords, unverified TLS.
 */
export function loadKubeconfig(yamlText: string, options: KubeconfigOptions = {}): KubeConfig {
  const root = parseYaml(yamlText);
  const contextName = options.context ?? text(root, "current-context");
  if (contextName === undefined) throw malformed("it has no current-context");
  const context = named(root, "contexts", contextName, "context");
  const clusterName = text(context, "cluster") ?? "";
  const userName = text(context, "user") ?? "";
  const cluster = named(root, "clusters", clusterName, "cluster");
  const user = named(root, "users", userName, "user");
  refuseUnsupported(cluster, user, userName);
  const server = text(cluster, "server");
  if (server === undefined) throw malformed(`cluster "${clusterName}" has no server`);
  const ca = material(cluster, "certificate-authority", options);
  const cert = material(user, "client-certificate", options);
  const key = material(user, "client-key", options);
  const token = text(user, "token");
  const serverName = text(cluster, "tls-server-name");
  return {
    server: server.replace(/\/+$/, ""),
    ca: () => ca,
    token: () => token,
    ...(cert !== undefined && key !== undefined ? { clientCertificate: { cert, key } } : {}),
    ...(serverName === undefined ? {} : { serverName }),
    namespace: text(context, "namespace") ?? "default",
  };
}

function parseYaml(yamlText: string): Fields {
  let root: unknown;
  try {
    root = parse(yamlText);
  } catch (error) {
    throw malformed(errorMessage(error), error);
  }
  if (!isFields(root)) throw malformed("it is not a YAML map");
  return root;
}

function refuseUnsupported(cluster: Fields, user: Fields, userName: string): void {
  const unsupported = ["exec", "auth-provider", "username", "tokenFile"].find((f) => f in user);
  if (unsupported !== undefined) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `user "${userName}" of the kubeconfig uses ${unsupported}, which is not supported; use a client certificate or a token`,
    );
  }
  if (cluster["insecure-skip-tls-verify"] === true) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      "the kubeconfig sets insecure-skip-tls-verify, which is not supported; give certificate-authority-data instead",
    );
  }
}

/** PEM text from `<field>-data` (base64) or from the file that `<field>` names. */
function material(from: Fields, field: string, options: KubeconfigOptions): string | undefined {
  const data = text(from, `${field}-data`);
  if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
  const path = text(from, field);
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

function text(from: Fields, field: string): string | undefined {
  const value = from[field];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(problem: string, cause?: unknown): SignetError {
  return new SignetError("MALFORMED", `the kubeconfig cannot be used: ${problem}`, { cause });
}
