import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import type { PeerCertificate } from "node:tls";
import { Channel, connectivityState, credentials } from "@grpc/grpc-js";
import type { ChannelOptions } from "@grpc/grpc-js";
import { SignetError, toSignetError } from "../core/errors.ts";
import { rpcClient } from "../rpc/client.ts";
import type { RpcClient } from "../rpc/client.ts";
import { pemBlock } from "../spiffe/pem.ts";
import { operatorId } from "../spiffe/reserved.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { parseCertificate } from "./chain.ts";
import { uriSans } from "./uri-san.ts";

/** A dead operator is noticed within the sum of both. */
const KEEPALIVE_MS = 5000;

const OPTIONS: ChannelOptions = {
  "grpc.keepalive_time_ms": KEEPALIVE_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_MS,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
  "grpc.dns_min_time_between_resolutions_ms": 1000,
  "grpc.service_config_disable_resolution": 1,
  // The operator is in the cluster: a proxy for the outside must not see the calls.
  "grpc.enable_http_proxy": 0,
  // Connections that were verified with other anchors must not be shared.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_channelz": 0,
};

export interface ChannelTarget {
  /** host:port */
  readonly address: string;
  readonly trustDomain: TrustDomain;
  /** DER CA certificates. */
  readonly anchors: readonly Buffer[];
}

/** A channel and the calls on it. */
export interface OpenChannel {
  readonly channel: Channel;
  readonly client: RpcClient;
}

/**
 * A channel that talks only to an operator of the trust domain: TLS 1.2 or newer, a chain that verifies
 * against the anchors, and the operator's SPIFFE ID as only URI SAN (X509-SVID §5); host names play no part.
 * Throws UNAVAILABLE without anchors, because the TLS library would then trust public CAs.
 */
export function openChannel({ address, trustDomain, anchors }: ChannelTarget): OpenChannel {
  if (anchors.length === 0) {
    throw new SignetError(
      "UNAVAILABLE",
      "there is no trust bundle yet to verify the operator with",
    );
  }
  const context = createSecureContext({
    ca: anchors.map((der) => pemBlock("CERTIFICATE", der)),
    minVersion: "TLSv1.2",
    allowPartialTrustChain: true,
  });
  const creds = credentials.createFromSecureContext(context, {
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => checkOperator(certificate, trustDomain),
  });
  const target = `dns:///${address}`;
  const channel = new Channel(target, creds, { ...OPTIONS, ...serverName(address) });
  return { channel, client: rpcClient(target, creds, { channelOverride: channel }) };
}

/** Why a certificate is not an operator's, or undefined. */
function checkOperator(
  { raw }: Pick<PeerCertificate, "raw">,
  trustDomain: TrustDomain,
): Error | undefined {
  const expected = operatorId(trustDomain).uri;
  try {
    const certificate = parseCertificate(raw);
    if (certificate.ca) throw new SignetError("MALFORMED", "the operator shows a CA certificate");
    const uris = uriSans(certificate.subjectAltName);
    if (uris.length === 1 && uris[0] === expected) return undefined;
    const message = `the server is not the operator: URI SANs are ${JSON.stringify(uris)}, only ${expected} is allowed`;
    return new SignetError("PERMISSION_DENIED", message);
  } catch (error) {
    return toSignetError(error);
  }
}

/**
 * Connects, and resolves once the channel is ready, or once it failed to connect (a call then fails at once
 * and says why). While it backs off between tries this waits for the next ones, until `timeout` settles.
 * Throws UNAVAILABLE when the connection hangs until then, or when the channel was closed.
 */
export async function connect(channel: Channel, timeout: Promise<unknown>): Promise<void> {
  const tooLate = timeout.then(
    () => "too late",
    () => "too late",
  );
  for (let fresh = true; ; fresh = false) {
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) return;
    if (state === connectivityState.TRANSIENT_FAILURE && !fresh) return;
    if (state === connectivityState.SHUTDOWN) throw unavailable("channel was closed");
    const happened = await Promise.race([tooLate, stateChange(channel, state)]);
    if (happened !== "too late") continue;
    if (state === connectivityState.TRANSIENT_FAILURE) return;
    throw unavailable("connection hangs");
  }
}

function unavailable(fact: string): SignetError {
  return new SignetError("UNAVAILABLE", `no connection to the operator: ${fact}`);
}

function stateChange(channel: Channel, state: connectivityState): Promise<void> {
  return new Promise((resolve) => {
    channel.watchConnectivityState(state, Infinity, () => resolve());
  });
}

/** RFC 6066 §3 forbids IP addresses as server names. */
function serverName(address: string): ChannelOptions {
  const host = address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": "signet-operator" };
}
