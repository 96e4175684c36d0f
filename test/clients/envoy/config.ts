/**
 * Bootstrap configurations of Envoy that take certificates and trust bundles from a Workload API socket: what a user
 * writes as YAML, here as the same JSON. Ports of 0 are chosen by the system.
 */

/** How a proxy reaches secret discovery, and asks for it. */
export interface SdsAccess {
  /** Path of the volume's socket as the proxy sees it. */
  readonly socket: string;
  readonly protocol: "GRPC" | "DELTA_GRPC";
  /** Names of its certificate and of what it verifies others with. */
  readonly certificate: string;
  readonly validation: string;
  /** How long a proxy's start waits for secrets, Envoy's 15 s when left out. */
  readonly initialFetchTimeout?: string;
  /** Values of node.metadata. */
  readonly metadata?: Readonly<Record<string, boolean | string>>;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A listener that speaks plain HTTP to local programs and mutual TLS to another proxy. */
export interface EgressRoute {
  readonly name: string;
  readonly listen: Address;
  readonly upstream: Address;
  /** The SPIFFE ID that the other proxy must have. */
  readonly peer: string;
}

export interface EgressOptions {
  readonly id: string;
  readonly admin: Address;
  readonly sds: SdsAccess;
  readonly routes: readonly EgressRoute[];
}

export interface IngressOptions {
  readonly id: string;
  readonly admin: Address;
  readonly sds: SdsAccess;
  /** Where mutual TLS ends. */
  readonly listen: Address;
  /** The HTTP server behind. */
  readonly backend: Address;
  /** The only SPIFFE ID that may call. */
  readonly peer: string;
}

const TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const SDS_CLUSTER = "workload_api";

/** A proxy in front of a client: each request is a new connection with a whole handshake. */
export function egressConfig({ id, admin, sds, routes }: EgressOptions) {
  return bootstrap({
    ...{ id, admin, sds },
    listeners: routes.map(({ name, listen }) => listener({ name, listen, cluster: name })),
    clusters: routes.map(({ name, upstream, peer }) => ({
      ...cluster(name, upstream),
      ...httpOptions({
        common_http_protocol_options: { max_requests_per_connection: 1 },
        explicit_http_config: { http_protocol_options: {} },
      }),
      transport_socket: {
        name: "tls",
        typed_config: {
          "@type": `${TLS}.UpstreamTlsContext`,
          common_tls_context: tlsContext(sds, peer),
          // Whole handshakes only.
          max_session_keys: 0,
        },
      },
    })),
  });
}

/** A proxy in front of a server. */
export function ingressConfig({ id, admin, sds, listen, backend, peer }: IngressOptions) {
  const name = "ingress";
  const tls = {
    "@type": `${TLS}.DownstreamTlsContext`,
    common_tls_context: tlsContext(sds, peer),
    require_client_certificate: true,
    disable_stateless_session_resumption: true,
  };
  return bootstrap({
    ...{ id, admin, sds },
    listeners: [listener({ name, listen, cluster: "backend", tls })],
    clusters: [cluster("backend", backend)],
  });
}

interface BootstrapParts {
  readonly id: string;
  readonly admin: Address;
  readonly sds: SdsAccess;
  readonly listeners: readonly object[];
  readonly clusters: readonly object[];
}

function bootstrap({ id, admin, sds, listeners, clusters }: BootstrapParts) {
  return {
    node: { id, cluster: "signet", metadata: sds.metadata ?? {} },
    admin: { address: socketAddress(admin) },
    static_resources: { listeners, clusters: [...clusters, workloadApi(sds.socket)] },
  };
}

/** The socket as a cluster that speaks HTTP/2. */
function workloadApi(path: string) {
  return {
    name: SDS_CLUSTER,
    type: "STATIC",
    connect_timeout: "1s",
    ...httpOptions({ explicit_http_config: { http2_protocol_options: {} } }),
    load_assignment: assignment(SDS_CLUSTER, { pipe: { path } }),
  };
}

function tlsContext(sds: SdsAccess, peer: string) {
  return {
    tls_certificate_sds_secret_configs: [sdsConfig(sds, sds.certificate)],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: peer } }],
      },
      validation_context_sds_secret_config: sdsConfig(sds, sds.validation),
    },
  };
}

/** Envoy's own pauses between two tries grow to 30 s; the socket is local, and a pod's identity may come late. */
const RETRY = { retry_back_off: { base_interval: "0.2s", max_interval: "2s" } };

function sdsConfig({ protocol, initialFetchTimeout }: SdsAccess, name: string) {
  return {
    name,
    sds_config: {
      resource_api_version: "V3",
      ...(initialFetchTimeout === undefined ? {} : { initial_fetch_timeout: initialFetchTimeout }),
      api_config_source: {
        api_type: protocol,
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: SDS_CLUSTER, retry_policy: RETRY } }],
      },
    },
  };
}

interface ListenerParts {
  readonly name: string;
  readonly listen: Address;
  readonly cluster: string;
  readonly tls?: object;
}

function listener({ name, listen, cluster, tls }: ListenerParts) {
  const manager =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
  return {
    name,
    address: socketAddress(listen),
    filter_chains: [
      {
        ...(tls === undefined ? {} : { transport_socket: { name: "tls", typed_config: tls } }),
        filters: [
          {
            name: "http",
            typed_config: {
              "@type": manager,
              stat_prefix: name,
              route_config: {
                virtual_hosts: [
                  {
                    name,
                    domains: ["*"],
                    routes: [{ match: { prefix: "/" }, route: { cluster } }],
                  },
                ],
              },
              http_filters: [{ name: "router", typed_config: { "@type": router } }],
            },
          },
        ],
      },
    ],
  };
}

function cluster(name: string, address: Address) {
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: assignment(name, socketAddress(address)),
  };
}

function assignment(name: string, address: object) {
  return {
    cluster_name: name,
    endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
  };
}

function httpOptions(options: object) {
  const type = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  return {
    typed_extension_protocol_options: {
      [type]: { "@type": `type.googleapis.com/${type}`, ...options },
    },
  };
}

function socketAddress({ host, port }: Address) {
  return { socket_address: { address: host, port_value: port } };
}
