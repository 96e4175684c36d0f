import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { openChannel } from "../../src/agent/channel.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { parsePem } from "../../src/spiffe/pem.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { NAMESPACE, TRUST_DOMAIN } from "./world.ts";
import type { Json, World } from "./world.ts";

/** The issuer of one operator replica, reached from here. */
export interface IssuerAccess {
  /** Verifies the operator as an agent does. */
  readonly client: RpcClient;
  /** PEM of the published bundle. */
  readonly bundle: string;
  /** A plain TLS connection that has verified the server's chain against the bundle, and nothing else. */
  dial(): Promise<TLSSocket>;
  close(): Promise<void>;
}

/** Forwards a local port to the issuer of `pod`, and connects to it with the agents' own client. */
export async function openIssuer(world: World, pod: string): Promise<IssuerAccess> {
  const config = await world.get("configmap", "signet-bundle", NAMESPACE);
  const bundle: string = config.data["bundle.pem"];
  const forward = await forwardPort(world, pod);
  const anchors = parsePem("CERTIFICATE", bundle);
  const address = `127.0.0.1:${forward.port}`;
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const { channel, client } = openChannel({ address, trustDomain, anchors });
  return {
    client,
    bundle,
    async dial() {
      const socket = connect({
        port: forward.port,
        ca: bundle,
        ALPNProtocols: ["h2"],
        checkServerIdentity: () => undefined,
      });
      await once(socket, "secureConnect");
      return socket;
    },
    async close() {
      client.close();
      channel.close();
      await forward.close();
    },
  };
}

async function forwardPort(
  { cluster }: World,
  pod: string,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const argv = [`--kubeconfig=${cluster.kubeconfig}`, "port-forward", "-n", NAMESPACE];
  const child = spawn(cluster.kubectlPath, [...argv, `pod/${pod}`, ":8443"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      const port = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) return Number(port);
    }
    throw new Error(`kubectl port-forward to ${pod} ended`);
  })();
  return {
    port: await ready,
    async close() {
      child.kill();
      await exited;
    },
  };
}

/** A service-account token that the API server bound to a pod. */
export async function tokenOf(world: World, pod: Json, audience = "signet"): Promise<string> {
  const { name, namespace, uid } = pod.metadata;
  const account: string = pod.spec.serviceAccountName;
  const bound = `--bound-object-kind=Pod --bound-object-name=${name} --bound-object-uid=${uid}`;
  const token = await world.cluster.kubectl(
    `create token ${account} -n ${namespace} --audience=${audience} ${bound}`.split(" "),
  );
  return token.trim();
}
