import { isSignetError, SignetError } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeConfig } from "../kube/config.ts";
import { openPortForward } from "../kube/port-forward.ts";
import { PODS } from "../kube/resources.ts";
import type { Pod } from "../kube/types.ts";
import type { Connection } from "./command.ts";
import { askOver } from "./stream-http.ts";
import type { OperatorAnswer, OperatorRequest } from "./stream-http.ts";

/** One running pod of the operator. */
export interface Replica {
  readonly name: string;
  /** Throws what the operator answers instead, with `details.answered`, else why it cannot be reached. */
  ask(request: OperatorRequest): Promise<OperatorAnswer>;
}

/** What came of asking every replica. */
export interface Answers {
  readonly answers: readonly {
    readonly replica: string;
    readonly version: string;
    readonly view: unknown;
  }[];
  /** Of the replicas that did not answer. */
  readonly failures: readonly { readonly replica: string; readonly error: unknown }[];
}

/** More replicas than anybody runs. */
const MOST_REPLICAS = 20;

/**
 * Finds the operator's running pods, ready ones first. Throws NOT_FOUND when there is none, and what `KubeClient` throws.
 */
export async function findReplicas(
  client: KubeClient,
  config: KubeConfig,
  connection: Connection,
): Promise<Replica[]> {
  const { signetNamespace: namespace, operatorSelector, inspectPort: port } = connection;
  const { items } = await client
    .list<Pod>(PODS, { namespace, labelSelector: operatorSelector })
    .catch((error: unknown) => {
      throw isSignetError(error, "PERMISSION_DENIED")
        ? new SignetError(
            "PERMISSION_DENIED",
            `${error.message}; the verb list on pods in namespace "${namespace}" is needed`,
            { cause: error },
          )
        : error;
    });
  const names = runningPods(items).slice(0, MOST_REPLICAS);
  if (names.length === 0) {
    throw new SignetError(
      "NOT_FOUND",
      `no pod with the labels ${operatorSelector} runs in namespace "${namespace}"; ` +
        "if Signet is installed elsewhere, say where with --signet-namespace",
    );
  }
  return names.map((name) => ({
    name,
    ask: async (request) => {
      const target = { namespace, pod: name, port };
      return askOver(await openPortForward(config, target), request);
    },
  }));
}

/** Names of the pods that run and are not on their way out, ready ones first. */
export function runningPods(pods: readonly Pod[]): string[] {
  return pods
    .filter(({ metadata, status }) => !metadata.deletionTimestamp && status?.phase === "Running")
    .toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)))
    .map(({ metadata }) => metadata.name);
}

function isReady({ status }: Pod): boolean {
  return (status?.conditions ?? []).some(
    ({ type, status }) => type === "Ready" && status === "True",
  );
}

/** Asks one after the other until one answers; a refusal is an answer, too. */
export async function askFirst(
  replicas: readonly Replica[],
  request: OperatorRequest,
): Promise<OperatorAnswer> {
  let unreachable: unknown;
  for (const replica of replicas) {
    try {
      return await replica.ask(request);
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      unreachable ??= error;
    }
  }
  throw unreachable;
}

/** Asks all at once. Throws the first failure when none answers. */
export async function askAll(
  replicas: readonly Replica[],
  request: OperatorRequest,
): Promise<Answers> {
  const answers: Answers["answers"][number][] = [];
  const failures: Answers["failures"][number][] = [];
  const results = await Promise.allSettled(
    replicas.map(async (replica) => {
      const answer = await replica.ask(request);
      return { replica: replica.name, version: answer.version, view: await answer.json() };
    }),
  );
  for (const [at, result] of results.entries()) {
    if (result.status === "fulfilled") answers.push(result.value);
    else failures.push({ replica: replicas[at]?.name ?? "", error: result.reason });
  }
  if (answers.length > 0) return { answers, failures };
  // What an operator says is better than why another one cannot be reached.
  throw (failures.find(({ error }) => !isUnreachable(error)) ?? failures[0])?.error;
}

function isUnreachable(error: unknown): boolean {
  const codes = ["UNAVAILABLE", "NOT_FOUND", "MALFORMED"] as const;
  return isSignetError(error, ...codes) && error.details["answered"] !== true;
}
