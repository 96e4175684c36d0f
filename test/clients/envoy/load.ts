import { Agent, request } from "node:http";

/** Requests that go on without a pause. */
export interface Load {
  readonly done: number;
  /** What went wrong, each request in one line. */
  readonly failures: readonly string[];
  /** Resolves when this many more requests have ended. */
  more(count: number): Promise<void>;
  /** Ends it; resolves when the last request has its answer. */
  stop(): Promise<void>;
}

/** One answer: status and body. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Asks a local proxy once. Throws when there is no answer. */
export function ask(port: number, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port,
      path: "/",
      timeout: 10_000,
      ...(agent && { agent }),
    };
    const asked = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", reject);
    asked.end();
  });
}

/** Asks a local proxy without a pause, `parallel` requests at a time, and wants `body` from each. */
export function startLoad(port: number, body: string, parallel = 4): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: parallel });
  const failures: string[] = [];
  const state = { done: 0, running: true };
  const once = async (): Promise<void> => {
    try {
      const answer = await ask(port, agent);
      if (answer.status !== 200 || answer.body !== body) {
        failures.push(`${answer.status} ${answer.body.slice(0, 200)}`);
      }
    } catch (error) {
      failures.push(String(error));
    }
    state.done += 1;
  };
  const worker = async (): Promise<void> => {
    while (state.running) await once();
  };
  const workers = Array.from({ length: parallel }, worker);
  return {
    failures,
    get done() {
      return state.done;
    },
    async more(count) {
      const goal = state.done + count;
      while (state.done < goal) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async stop() {
      state.running = false;
      await Promise.all(workers);
      agent.destroy();
    },
  };
}
