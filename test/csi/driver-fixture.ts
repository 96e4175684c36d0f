import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import type { Clock } from "../../src/core/clock.ts";
import { createCsiDriver } from "../../src/csi/driver.ts";
import type { CsiDriver } from "../../src/csi/driver.ts";
import type { IdentitySource, WorkloadSockets } from "../../src/csi/ports.ts";
import { memorySockets, recordingLog } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

export const DRIVER = "csi.spiffe.io";

/** Starts a node's driver whose kubelet folder is the sandbox. */
export async function startDriver(
  sandbox: Sandbox,
  source: IdentitySource,
  {
    sockets = memorySockets(),
    clock = systemClock(),
  }: { readonly sockets?: WorkloadSockets; readonly clock?: Clock } = {},
): Promise<CsiDriver> {
  mkdirSync(join(sandbox.dir, "pods"), { recursive: true });
  const driver = createCsiDriver({
    config: {
      driverName: DRIVER,
      kubeletDir: sandbox.dir,
      publishTimeout: 10_000,
      onRemoval: "keep",
    },
    nodeName: "node-1",
    version: "1.2.3",
    audience: "signet",
    identities: () => source,
    sockets,
    mounter: sandbox.mounter,
    clock,
    log: recordingLog(),
    onRefused: () => undefined,
  });
  await driver.start();
  return driver;
}
