import { join } from "node:path";
import type { Cluster } from "./cluster/cluster.ts";
import { waitFor } from "./cluster/exec.ts";
import type { Images } from "./images.ts";

export const NAMESPACE = "signet-system";
export const RELEASE = "signet";
export const TRUST_DOMAIN = "example.org";
/** The class that SPIRE's chart gives to its release "spire" in "spire-mgmt", and to what it makes itself. */
export const CLASS_NAME = "spire-mgmt-spire";
const chart = join(import.meta.dirname, "../../charts/signet");

/**
 * Installs or upgrades the chart from this checkout; waits until it is Ready, and what it was before has gone: replicas on
 * their way out still issue by the former settings.
 */
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
    className: CLASS_NAME,
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
  const component = "app.kubernetes.io/component=operator";
  const leaving = "jsonpath={.items[*].metadata.deletionTimestamp}";
  await waitFor("former replicas to be gone", 60_000, async () => {
    const argv = ["get", "pods", "-n", NAMESPACE, "-l", component, "-o", leaving];
    return (await cluster.kubectl(argv)) === "" ? true : undefined;
  });
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
