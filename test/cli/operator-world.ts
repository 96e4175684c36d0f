import type { Connection } from "../../src/cli/command.ts";
import type { Shell } from "../../src/cli/session.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { PodIssues } from "../../src/inspect/ports.ts";
import { inspectServer } from "../../src/inspect/server.ts";
import type { InspectServer } from "../../src/inspect/server.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import { PODS } from "../../src/kube/resources.ts";
import type { NewObject, Pod } from "../../src/kube/types.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import type { FakeApiServer } from "../fakes/api-server.ts";
import { fakeInspectedRegistry, fakeIssueRecords } from "../fakes/inspected-registry.ts";
import type { FakeInspectedRegistry } from "../fakes/inspected-registry.ts";
import { servePortForward } from "../fakes/port-forward.ts";
import type { FakePortForward } from "../fakes/port-forward.ts";

const NAMESPACE = "signet-system";
const LABELS = {
  "app.kubernetes.io/name": "signet",
  "app.kubernetes.io/component": "operator",
};
export const VERSION = "1.2.3";

/** An API server and behind its port-forward one real inspect server for each replica. */
export interface OperatorWorld extends AsyncDisposable {
  readonly api: FakeApiServer;
  readonly forwards: FakePortForward;
  /** Shared by all replicas, as each computes the same. */
  readonly registry: FakeInspectedRegistry;
  /** Issue records by pod UID, of each replica. */
  readonly issues: Record<string, Record<string, PodIssues>>;
  /** Adds a running replica; `listens: false` runs a pod that does not answer. */
  addReplica(
    name: string,
    options?: { readonly listens?: boolean; readonly ready?: boolean },
  ): Promise<void>;
}

export async function startOperatorWorld(): Promise<OperatorWorld> {
  const api = await startFakeApiServer();
  const forwards = servePortForward(api);
  const registry = fakeInspectedRegistry();
  const servers: InspectServer[] = [];
  const world: OperatorWorld = {
    api,
    forwards,
    registry,
    issues: {},
    async addReplica(name, { listens = true, ready = true } = {}) {
      api.put<Pod>(PODS, operatorPod(name, ready));
      const ports = new Map<number, number>();
      forwards.pods.set(`${NAMESPACE}/${name}`, ports);
      if (!listens) return;
      const server = inspectServer({
        port: 0,
        registry,
        issues: fakeIssueRecords((world.issues[name] ??= {})),
        version: VERSION,
        trustDomain: parseTrustDomain("example.org"),
        defaultX509SvidTtl: 3600,
        log: silentLog(),
      });
      await server.start();
      servers.push(server);
      ports.set(8090, server.port());
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.stop()));
      await api.close();
    },
  };
  return world;
}

function operatorPod(name: string, ready: boolean): NewObject<Pod> {
  return {
    metadata: { name, namespace: NAMESPACE, labels: LABELS },
    spec: { containers: [] },
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

/** A shell whose output is kept. */
export interface RecordedShell extends Shell {
  readonly notes: string[];
  output(): string;
}

export const NOW = Date.UTC(2026, 0, 1, 12);

export function recordedShell(
  world: OperatorWorld,
  files: Readonly<Record<string, string>> = {},
): RecordedShell {
  const printed: string[] = [];
  const notes: string[] = [];
  return {
    version: VERSION,
    notes,
    output: () => printed.join(""),
    connect: (_connection: Connection) => {
      const config = world.api.config();
      return { config, client: createKubeClient({ config, clock: systemClock() }) };
    },
    readFile: async (path) => files[path] ?? Promise.reject(new Error(`no file ${path}`)),
    print: async (text) => void printed.push(text),
    note: (line) => void notes.push(line),
    now: () => NOW,
  };
}
