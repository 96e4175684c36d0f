import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { egressConfig, ingressConfig } from "../clients/envoy/config.ts";
import { startLoad } from "../clients/envoy/load.ts";
import type { Load } from "../clients/envoy/load.ts";
import { envoyProgram } from "../clients/envoy/program.ts";
import { startEnvoy } from "../clients/envoy/running.ts";
import { workshop } from "./cluster/cluster.ts";

/** A pod whose Envoy runs on this machine, on the pod's socket. */
export interface ProxiedPod {
  readonly id: string;
  readonly socket: string;
}

/** Two Envoys with requests that go from one to the other without a pause, each on a new connection. */
export interface Envoys {
  readonly load: Load;
  /** Serial numbers of the certificates that the server's Envoy shows now. */
  shown(): Promise<Set<string>>;
  stop(): Promise<void>;
}

const HOST = "127.0.0.1";
const ANY = { host: HOST, port: 0 };
const BODY = "from behind the proxy";
/** The names that SPIRE's users configure. */
const NAMES = { certificate: "default", validation: "ROOTCA" };

/** Starts both Envoys, which get all their secrets from the pods' sockets. */
export async function startEnvoys(client: ProxiedPod, server: ProxiedPod): Promise<Envoys> {
  const program = await envoyProgram(workshop(console.log));
  const folder = mkdtempSync(join(tmpdir(), "envoys-"));
  const inFolder = (): string => mkdtempSync(join(folder, "envoy-"));
  const backend = createServer((_request, response) => response.end(BODY));
  await new Promise<void>((resolve) => backend.listen(0, HOST, resolve));
  const behind = { host: HOST, port: (backend.address() as AddressInfo).port };
  const ingress = await startEnvoy(
    program,
    inFolder(),
    ingressConfig({
      ...{ id: "server", admin: ANY, listen: ANY, backend: behind, peer: client.id },
      sds: { ...NAMES, protocol: "GRPC", socket: server.socket },
    }),
  );
  const upstream = { host: HOST, port: await ingress.port("ingress") };
  const egress = await startEnvoy(
    program,
    inFolder(),
    egressConfig({
      ...{ id: "client", admin: ANY },
      sds: { ...NAMES, protocol: "DELTA_GRPC", socket: client.socket },
      routes: [{ name: "right", listen: ANY, upstream, peer: server.id }],
    }),
  );
  const load = startLoad(await egress.port("right"), BODY, 1);
  return {
    load,
    shown: async () => (await ingress.serials()).chain,
    async stop() {
      await load.stop();
      await Promise.all([egress.stop(), ingress.stop()]);
      backend.close();
      rmSync(folder, { recursive: true });
    },
  };
}
