/**
 * A node's agent with its driver and sockets, but with an identity from a file instead of an operator. It says what
 * it is at on its standard output, and stops at SIGTERM. Usage: node agent-process.ts KUBELET_FOLDER IDENTITY NAME
 */
import { readFileSync } from "node:fs";
import { deserialize } from "node:v8";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createCsiDriver } from "../../src/csi/driver.ts";
import { createMounter } from "../../src/csi/mount.ts";
import type { IdentitySource, WorkloadIdentity } from "../../src/csi/ports.ts";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import type { WorkloadSource } from "../../src/workload-api/ports.ts";

const [kubeletDir = "", file = "", version = ""] = process.argv.slice(2);
const identity = deserialize(readFileSync(file)) as WorkloadIdentity;
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
const clock = systemClock();
const log = silentLog();
const source: IdentitySource = {
  attest: () => Promise.resolve(identity),
  adopt: () => undefined,
  forget: () => undefined,
  addressOf: () => undefined,
};
const workload: WorkloadSource = {
  current: () => ({
    status: "entitled",
    trustDomain: identity.bundle.trustDomain,
    svids: identity.svids.map((svid) => ({ ...svid, privateKey: identity.privateKey })),
    bundle: identity.bundle,
    federatedBundles: new Map(),
  }),
  subscribe: () => () => undefined,
  fetchJwtSvids: () => Promise.resolve([]),
};
const endpoints = createEndpoints({ clock, log });
const driver = createCsiDriver({
  config: { driverName: "csi.spiffe.io", kubeletDir, publishTimeout: 10_000, onRemoval: "keep" },
  nodeName: "node-1",
  version,
  audience: "signet",
  identities: () => source,
  sockets: {
    open: (id, directory) => endpoints.open(id, directory, workload),
    close: (id) => endpoints.close(id),
    stop: () => endpoints.stop(),
  },
  mounter: await createMounter(),
  clock,
  log,
  onRefused: () => undefined,
});
process.on("SIGTERM", () => {
  const started = performance.now();
  void driver.stop().then(() => {
    say(`stopped in ${(performance.now() - started).toFixed(0)} ms`);
    process.exit(0);
  });
});
const looking = setInterval(() => {
  if (!driver.standby()) return;
  say("standby");
  clearInterval(looking);
}, 10);
await driver.start();
clearInterval(looking);
say(`serving ${driver.summary().volumes} volumes`);
