import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The state of a secret in a running Envoy. */
export interface HeldSecret {
  readonly name: string;
  readonly version_info: string;
}

/** An Envoy of a test. */
export interface RunningEnvoy {
  /** The port that a listener got. */
  port(listener: string): Promise<number>;
  /** Counters and gauges whose name matches, by name. */
  stats(pattern: string): Promise<Record<string, number>>;
  /** What it took from secret discovery, by name. */
  secrets(): Promise<Map<string, HeldSecret>>;
  /** Lower-case hex serial numbers of the certificates that it shows or verifies with now. */
  serials(): Promise<{ readonly chain: Set<string>; readonly authorities: Set<string> }>;
  readonly output: () => string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts Envoy with a configuration that has admin port 0, and waits until it is ready. Throws with its log. */
export async function startEnvoy(
  program: string,
  folder: string,
  config: object,
): Promise<RunningEnvoy> {
  const file = join(folder, "envoy.json");
  const adminFile = join(folder, "admin");
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(
    program,
    [
      ...["-c", file, "--admin-address-path", adminFile, "--disable-hot-restart"],
      ...["--concurrency", "1", "--log-level", "warning"],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log = (log + chunk.toString()).slice(-20_000)));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const admin = async (path: string): Promise<string> => {
    const response = await fetch(`http://${readFileSync(adminFile, "utf8").trim()}${path}`);
    return response.text();
  };
  const isReady = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}: ${log}`);
    if (!existsSync(adminFile)) return false;
    return (await admin("/ready").catch(() => "")).startsWith("LIVE");
  };
  const deadline = performance.now() + 30_000;
  while (!(await isReady())) {
    if (performance.now() > deadline) throw new Error(`Envoy is not ready: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    pid: child.pid ?? 0,
    output: () => log,
    async port(listener) {
      const { listener_statuses: all } = JSON.parse(await admin("/listeners?format=json")) as {
        listener_statuses: {
          name: string;
          local_address: { socket_address: { port_value: number } };
        }[];
      };
      const found = all.find(({ name }) => name === listener);
      if (found === undefined) throw new Error(`Envoy has no listener ${listener}`);
      return found.local_address.socket_address.port_value;
    },
    async stats(pattern) {
      const text = await admin(`/stats?filter=${encodeURIComponent(pattern)}`);
      const lines = text.split("\n").map((line) => line.split(": "));
      return Object.fromEntries(
        lines.flatMap(([name = "", value]) => (value === undefined ? [] : [[name, Number(value)]])),
      );
    },
    async secrets() {
      const dump = JSON.parse(await admin("/config_dump?resource=dynamic_active_secrets")) as {
        configs?: HeldSecret[];
      };
      return new Map((dump.configs ?? []).map((secret) => [secret.name, secret]));
    },
    async serials() {
      type Certificate = { readonly serial_number: string };
      const { certificates = [] } = JSON.parse(await admin("/certs")) as {
        certificates?: { ca_cert?: Certificate[]; cert_chain?: Certificate[] }[];
      };
      const serialsOf = (all: Certificate[]): Set<string> =>
        new Set(all.map(({ serial_number: serial }) => serial.toLowerCase().replace(/^0+/, "")));
      return {
        chain: serialsOf(certificates.flatMap(({ cert_chain: chain = [] }) => chain)),
        authorities: serialsOf(certificates.flatMap(({ ca_cert: ca = [] }) => ca)),
      };
    },
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
      await ended;
      clearTimeout(timer);
    },
  };
}
