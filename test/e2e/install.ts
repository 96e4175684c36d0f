import { join } from "node:path";
import type { Cluster } from "./cluster/cluster.ts";
import type { Images } from "./images.ts";

export const NAMESPACE = "signet-system";
export const RELEASE = "signet";
export const TRUST_DOMAIN = "example.org";
const chart = join(import.meta.dirname, "../../charts/signet");

/** Installs or upgrades the chart from this checkout and waits until it is Ready. */
export async function installSignet(
  cluster: Cluster,
  images: Images,
  values: Readonly<Record<string, string>> = {},
): Promise<void> {
  const [repository = "", tag = ""] = images.signet.split(":");
  const set = {
    "image.repository": repository,
    "image.tag": tag,
    trustDomain: TRUST_DOMAIN,
    clusterName: "kind",
    ...values,
  };
  await cluster.helm(
    [
      ...["upgrade", "--install", RELEASE, chart, "--namespace", NAMESPACE, "--create-namespace"],
      ...Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
      ...["--wait", "--timeout", "4m"],
    ],
    { timeoutMs: 300_000 },
  );
}

/** Takes the release away and waits until its pods are gone. */
export async function uninstallSignet(cluster: Cluster): Promise<void> {
  await cluster.helm(
    ["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "4m"],
    {
      timeoutMs: 300_000,
    },
  );
}
