import { describe, expect, it } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import { loadInCluster } from "../../src/kube/config.ts";

const DIR = "/var/run/secrets/kubernetes.io/serviceaccount";
const ENV = { KUBERNETES_SERVICE_HOST: "10.0.0.1", KUBERNETES_SERVICE_PORT: "443" };

function pod() {
  const files = new Map([
    [`${DIR}/token`, "first\n"],
    [`${DIR}/ca.crt`, "old ca"],
    [`${DIR}/namespace`, "signet-system"],
  ]);
  const readFile = (path: string): string => {
    const text = files.get(path);
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  };
  return { files, readFile, clock: manualClock(1000) };
}

describe("in a cluster", () => {
  it("reads server, CA, token and namespace", () => {
    const { readFile, clock } = pod();
    const config = loadInCluster({ env: ENV, readFile, clock });
    expect(config.server).toBe("https://10.0.0.1:443");
    expect([config.ca(), config.token(), config.namespace]).toEqual([
      "old ca",
      "first",
      "signet-system",
    ]);
  });

  it("puts an IPv6 address in brackets", () => {
    const { readFile, clock } = pod();
    const env = { ...ENV, KUBERNETES_SERVICE_HOST: "fd00::1" };
    expect(loadInCluster({ env, readFile, clock }).server).toBe("https://[fd00::1]:443");
  });

  it("reads token and CA again after a minute, and keeps the last one when that fails", async () => {
    const { files, readFile, clock } = pod();
    const config = loadInCluster({ env: ENV, readFile, clock });
    files.set(`${DIR}/token`, "second");
    files.set(`${DIR}/ca.crt`, "new ca");
    await clock.advance(59_000);
    expect([config.token(), config.ca()]).toEqual(["first", "old ca"]);
    await clock.advance(1000);
    expect([config.token(), config.ca()]).toEqual(["second", "new ca"]);
    files.delete(`${DIR}/token`);
    await clock.advance(60_000);
    expect(config.token()).toBe("second");
  });

  it("says what is missing outside a pod", () => {
    const { files, readFile, clock } = pod();
    expect(() => loadInCluster({ env: {}, readFile, clock })).toThrow(/does not run in a pod/);
    files.delete(`${DIR}/token`);
    expect(() => loadInCluster({ env: ENV, readFile, clock })).toThrow(/token: ENOENT/);
  });
});
