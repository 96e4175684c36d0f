import { z } from "zod";
import { SignetError } from "./errors.ts";
import { LOG_LEVELS } from "./log.ts";

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A duration such as `90s` or `1h30m` (units ms, s, m, h, d), read as milliseconds. */
const duration = z
  .string()
  .regex(/^(\d+(ms|s|m|h|d))+$/, "must be a duration such as 30s, 90m or 1h30m")
  .transform((text) =>
    [...text.matchAll(/(\d+)(ms|s|m|h|d)/g)].reduce(
      (sum, [, count, unit]) => sum + Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS],
      0,
    ),
  );

/** Certificates count in seconds. */
const lifetime = duration.refine((ms) => ms >= 1000, "must be at least 1s");

/** JWT-SVID §2.1. */
const JWT_ALGORITHMS = [
  ...(["ES256", "ES384", "ES512"] as const),
  ...(["RS256", "RS384", "RS512"] as const),
  ...(["PS256", "PS384", "PS512"] as const),
];

/** OpenID Connect Core §2: https, with neither query nor fragment. */
const issuerUrl = z
  .string()
  .max(2048)
  .refine(isIssuerUrl, "must be an https URL without user, query and fragment");

function isIssuerUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https:\/\/[^/?#@]+(\/[^?#]*)?$/.test(text)) return false;
  return url.username === "" && url.password === "";
}

const port = z.int().min(1).max(65535);

const operatorSchema = z.strictObject({
  /** Service in the release namespace that agents and the API server call. */
  serviceName: z.string().default("signet-operator"),
  /** Deployment of this operator: the owner of what the operator makes for itself. */
  deploymentName: z.string().default("signet-operator"),
  /** Secret in the release namespace with the CA's journal. */
  caSecretName: z.string().default("signet-ca"),
  /** ConfigMap in the release namespace with the trust bundle. */
  bundleConfigMapName: z.string().default("signet-bundle"),
  leaseName: z.string().default("signet-operator"),
  webhookConfigurationName: z.string().default("signet"),
  /** Agents' service account in the release namespace. */
  agentServiceAccount: z.string().default("signet-agent"),
  className: z.string().default(""),
  watchClassless: z.boolean().default(true),
  /** Unanchored regular expressions, as in SPIRE's controller. */
  ignoreNamespaces: z.array(z.string()).default(["^kube-system$", "^kube-public$"]),
  /** Go template of the parent ID of a node's entries; SPIRE's form when empty. */
  parentIdTemplate: z.string().default(""),
  x509SvidTtl: lifetime.default(3_600_000),
  caTtl: lifetime.default(90 * 86_400_000),
  caKeyType: z.enum(["ec-p256", "ec-p384"]).default("ec-p256"),
  jwtSvidTtl: lifetime.default(300_000),
  jwtAlgorithm: z.enum(JWT_ALGORITHMS).default("ES256"),
  /** Lifetime of a key that signs JWT-SVIDs; that of the CA when left out. */
  jwtKeyTtl: lifetime.optional(),
  /** `iss` of JWT-SVIDs: a URL where the keys are served for OpenID Connect; the trust domain's ID when empty. */
  jwtIssuer: z.literal("").or(issuerUrl).default(""),
  /** Claims that JWT-SVIDs have beside the registered ones: name → Go template of the value. */
  jwtClaims: z.record(z.string(), z.string()).default({}),
  issuerPort: port.default(8443),
  webhookPort: port.default(9443),
  healthPort: port.default(8080),
  /** On the loopback interface alone, for `kubectl signet`. */
  inspectPort: port.default(8090),
});

const agentSchema = z.strictObject({
  driverName: z.string().default("csi.spiffe.io"),
  /** kubelet's root folder, at the same path on the host and in the agent. */
  kubeletDir: z.string().default("/var/lib/kubelet"),
  /** host:port of the operator's issuer. */
  operatorAddress: z.string(),
  /** Folder that the bundle ConfigMap is mounted at. */
  bundleDir: z.string().default("/etc/signet/bundle"),
  /** The agent's own projected token, for the operator's audience. */
  tokenFile: z.string().default("/var/run/secrets/signet/token"),
  /** Longest wait of one NodePublish; kubelet gives up after 2 minutes. */
  publishTimeout: duration.default(110_000),
  /** What becomes of files whose pod has no identity any more, where the volume does not say. */
  onRemoval: z.enum(["keep", "remove"]).default("keep"),
  /** Names of Envoy's resources; one that is empty is not served. */
  sds: z
    .strictObject({
      svidName: z.string().max(128).default("default"),
      bundleName: z.string().max(128).default("ROOTCA"),
      allBundlesName: z.string().max(128).default("ALL"),
      /** Envoy verifies by a list of CAs instead of its SPIFFE validator. */
      disableSpiffeValidator: z.boolean().default(false),
    })
    .prefault({}),
  healthPort: port.default(8081),
});

const configSchema = z.strictObject({
  trustDomain: z.string(),
  clusterName: z.string().default("kubernetes"),
  clusterDomain: z.string().default("cluster.local"),
  logLevel: z.enum(LOG_LEVELS).default("info"),
  /** Audience of the tokens that agents and pods show to the operator. */
  audience: z.string().default("signet"),
  operator: operatorSchema.prefault({}),
  agent: agentSchema,
});

/** What both roles are told at start; durations in milliseconds. */
export type Config = z.infer<typeof configSchema>;
export type AgentConfig = Config["agent"];

/** Reads a configuration in JSON; throws INVALID_ARGUMENT that names every field that is wrong. */
export function parseConfig(json: string): Config {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new SignetError("INVALID_ARGUMENT", "configuration is not JSON", { cause: error });
  }
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(
    (issue) => `${issue.path.join(".") || "(root)"}: ${issue.message}`,
  );
  throw new SignetError("INVALID_ARGUMENT", `configuration is invalid: ${faults.join("; ")}`);
}
