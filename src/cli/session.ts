import { errorMessage } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeConfig } from "../kube/config.ts";
import type { Asking, Connection } from "./command.ts";
import { askAll, askFirst, findReplicas } from "./operator.ts";
import type { Answers, Replica } from "./operator.ts";
import type { Print } from "./output.ts";
import type { OperatorAnswer, OperatorRequest } from "./stream-http.ts";

/** What the program has of its surroundings. */
export interface Shell {
  /** Of this program. */
  readonly version: string;
  connect(connection: Connection): { readonly client: KubeClient; readonly config: KubeConfig };
  /** Reads a file, or standard input for `-`. */
  readFile(path: string): Promise<string>;
  readonly print: Print;
  /** Takes a line that is not part of the result. */
  note(line: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The operator of one cluster, and where its answers go. */
export interface Session {
  /** Of the context. */
  readonly namespace: string;
  readonly replicas: readonly Replica[];
  first(request: OperatorRequest): Promise<OperatorAnswer>;
  /** Notes which replicas did not answer. */
  all(request: OperatorRequest): Promise<Answers["answers"]>;
}

/** Finds the operator, lets `act` ask it, and closes the connections to the API server. */
export async function withSession<T>(
  shell: Shell,
  { connection }: Asking,
  act: (session: Session) => Promise<T>,
): Promise<T> {
  const { client, config } = shell.connect(connection);
  const noteVersion = versionNoter(shell);
  try {
    const replicas = await findReplicas(client, config, connection);
    return await act({
      namespace: config.namespace,
      replicas,
      async first(request) {
        const answer = await askFirst(replicas, request);
        noteVersion(answer.version);
        return answer;
      },
      async all(request) {
        const { answers, failures } = await askAll(replicas, request);
        for (const { replica, error } of failures) {
          shell.note(`${replica} did not answer: ${errorMessage(error)}`);
        }
        for (const { version } of answers) noteVersion(version);
        return answers;
      },
    });
  } finally {
    await client.close();
  }
}

/** Says once that operator and program are of different versions. */
function versionNoter(shell: Shell): (version: string) => void {
  let noted = false;
  return (version) => {
    if (noted || version === shell.version) return;
    noted = true;
    shell.note(`the operator is version ${version}, this program ${shell.version}`);
  };
}
