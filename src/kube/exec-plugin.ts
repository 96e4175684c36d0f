import { SignetError } from "../core/errors.ts";
import type { ClientCertificate } from "./config.ts";
import { isFields, malformed, textOf } from "./kubeconfig-fields.ts";
import type { Fields } from "./kubeconfig-fields.ts";

const API_GROUP = "client.authentication.k8s.io";
const API_VERSIONS = [`${API_GROUP}/v1`, `${API_GROUP}/v1beta1`] as const;
const INTERACTIVE_MODES = ["Never", "IfAvailable", "Always"] as const;

/** A program that a kubeconfig names to fetch a credential. */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Set on top of the caller's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** How to get the program, in the words of whoever wrote the kubeconfig. */
  readonly installHint?: string;
  readonly interactiveMode: (typeof INTERACTIVE_MODES)[number];
  /** What the program is told of the cluster, when it wants to know. */
  readonly cluster?: Fields;
}

/** What a plugin gave. */
export interface Credential {
  readonly token?: string;
  readonly clientCertificate?: ClientCertificate;
  /** Milliseconds since the epoch; it does not run out when left out. */
  readonly expiresAt?: number;
}

/** A cluster as the kubeconfig has it, with the CA's text. */
export interface PluginCluster {
  readonly fields: Fields;
  readonly ca: string | undefined;
}

/**
 * Reads `users[].user.exec`. Throws MALFORMED for what is incomplete, FAILED_PRECONDITION for an API version that is
 * not supported.
 */
export function parseExecPlugin(exec: unknown, user: string, cluster: PluginCluster): ExecPlugin {
  if (!isFields(exec)) throw malformed(`exec of user "${user}" is not a map`);
  const command = textOf(exec, "command");
  if (command === undefined) throw malformed(`exec of user "${user}" has no command`);
  const apiVersion = textOf(exec, "apiVersion") ?? "";
  if (!API_VERSIONS.some((known) => known === apiVersion)) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `exec of user "${user}" in the kubeconfig has apiVersion "${apiVersion}", which is not supported; ` +
        `${API_VERSIONS.join(" and ")} are: update ${command} and make the kubeconfig anew`,
    );
  }
  const mode = textOf(exec, "interactiveMode") ?? "IfAvailable";
  const interactiveMode = INTERACTIVE_MODES.find((known) => known === mode);
  if (interactiveMode === undefined) {
    throw malformed(`exec of user "${user}" has the unknown interactiveMode "${mode}"`);
  }
  const installHint = textOf(exec, "installHint");
  return {
    apiVersion,
    command,
    args: argumentsOf(exec, user),
    env: environmentOf(exec, user),
    interactiveMode,
    ...(installHint === undefined ? {} : { installHint }),
    ...(exec["provideClusterInfo"] === true ? { cluster: clusterInfo(cluster) } : {}),
  };
}

function argumentsOf(exec: Fields, user: string): string[] {
  const args = exec["args"] ?? [];
  if (!Array.isArray(args) || !args.every((arg) => typeof arg === "string")) {
    throw malformed(`exec.args of user "${user}" is not a list of texts`);
  }
  return args;
}

function environmentOf(exec: Fields, user: string): Record<string, string> {
  const list = exec["env"] ?? [];
  if (!Array.isArray(list)) throw malformed(`exec.env of user "${user}" is not a list`);
  return Object.fromEntries(
    list.map((entry: unknown) => {
      const name = isFields(entry) ? textOf(entry, "name") : undefined;
      const value = isFields(entry) ? entry["value"] : undefined;
      if (name === undefined || (value !== undefined && typeof value !== "string")) {
        throw malformed(`exec.env of user "${user}" has an entry without name and value`);
      }
      return [name, value ?? ""];
    }),
  );
}

const PLAIN_CLUSTER_FIELDS = ["server", "tls-server-name"];

function clusterInfo({ fields, ca }: PluginCluster): Fields {
  const plain = PLAIN_CLUSTER_FIELDS.flatMap((name) =>
    fields[name] === undefined ? [] : [[name, fields[name]] as const],
  );
  const extensions = Array.isArray(fields["extensions"]) ? fields["extensions"] : [];
  const own = extensions.find(
    (entry: unknown) => isFields(entry) && entry["name"] === `${API_GROUP}/exec`,
  ) as Fields | undefined;
  return {
    ...Object.fromEntries(plain),
    ...(ca === undefined
      ? {}
      : { "certificate-authority-data": Buffer.from(ca).toString("base64") }),
    ...(own === undefined ? {} : { config: own["extension"] }),
  };
}

/** What the program finds in its variable KUBERNETES_EXEC_INFO. */
export function execInfo(plugin: ExecPlugin, interactive: boolean): string {
  return JSON.stringify({
    apiVersion: plugin.apiVersion,
    kind: "ExecCredential",
    spec: { interactive, ...(plugin.cluster === undefined ? {} : { cluster: plugin.cluster }) },
  });
}

/** Reads what the program printed. Throws MALFORMED with what is missing, never with what was printed. */
export function parseCredential(output: string, plugin: ExecPlugin): Credential {
  const root = parseJson(output, plugin);
  if (root["kind"] !== "ExecCredential" || root["apiVersion"] !== plugin.apiVersion) {
    throw unusable(plugin, `it printed no ExecCredential of ${plugin.apiVersion}`);
  }
  const status = isFields(root["status"]) ? root["status"] : {};
  const token = textOf(status, "token");
  const cert = textOf(status, "clientCertificateData");
  const key = textOf(status, "clientKeyData");
  if ((cert === undefined) !== (key === undefined)) {
    throw unusable(plugin, "it gave only one of clientCertificateData and clientKeyData");
  }
  if (token === undefined && cert === undefined) {
    throw unusable(plugin, "it gave neither a token nor a client certificate");
  }
  const expiry = textOf(status, "expirationTimestamp");
  const expiresAt = expiry === undefined ? undefined : Date.parse(expiry);
  if (Number.isNaN(expiresAt)) throw unusable(plugin, "its expirationTimestamp is no time");
  return {
    ...(token === undefined ? {} : { token }),
    ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key } }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function parseJson(output: string, plugin: ExecPlugin): Fields {
  let root: unknown;
  try {
    root = JSON.parse(output);
  } catch {
    // The parser's words would quote the output, which may hold a token.
  }
  if (!isFields(root)) throw unusable(plugin, "it did not print a JSON object");
  return root;
}

function unusable({ command }: ExecPlugin, why: string): SignetError {
  return new SignetError("MALFORMED", `the credential plugin ${command} cannot be used: ${why}`);
}
