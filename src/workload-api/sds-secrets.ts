import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import { SignetError } from "../core/errors.ts";
import { SecretSchema } from "../rpc/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import { SPIFFECertValidatorConfigSchema } from "../rpc/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js";
import { bundlePem } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { pemBlock } from "../spiffe/pem.ts";
import type { EntitledState, WorkloadSvid } from "./ports.ts";

/** What all secrets are, as xDS names types. */
export const SECRET_TYPE = `type.googleapis.com/${SecretSchema.typeName}`;

/** Names for secrets whose SPIFFE IDs a configuration need not know; an empty one is not served. */
export interface SdsNames {
  /** The default SVID. */
  readonly svid: string;
  /** The bundle of the workload's own trust domain. */
  readonly bundle: string;
  /** All bundles that the workload may verify with. */
  readonly allBundles: string;
}

/** SPIRE's names, and Istio's for the first two. */
export const SDS_NAMES: SdsNames = { svid: "default", bundle: "ROOTCA", allBundles: "ALL" };

/**
 * How Envoy verifies: `spiffe` by the CAs of the certificate's own trust domain, `trusted-ca` by one list of CAs
 * whatever the certificate says of its trust domain.
 */
export type CertificateValidator = "spiffe" | "trusted-ca";

/** A secret with its name. */
export interface NamedSecret {
  readonly name: string;
  /** A hash of all that is public in it, the same in every process; a key pair is new when its certificate is. */
  readonly version: string;
  readonly resource: Any;
}

/** The secrets of one state. */
export interface SecretCatalog {
  /** One name for each SVID and bundle: their SPIFFE IDs. Bundles first, own one before foreign ones. */
  readonly ids: readonly string[];
  /** Undefined when there is none of that name. Throws INVALID_ARGUMENT for all bundles without SPIFFE's validator. */
  find(name: string, validator: CertificateValidator): NamedSecret | undefined;
}

/** Gives the catalogs of states, each secret made once however many clients ask for it. */
export function secretCatalogs(names: SdsNames): (state: EntitledState) => SecretCatalog {
  const known = new WeakMap<EntitledState, SecretCatalog>();
  return (state) => {
    const found = known.get(state) ?? secretCatalog(state, names);
    known.set(state, found);
    return found;
  };
}

function secretCatalog(state: EntitledState, names: SdsNames): SecretCatalog {
  const bundles = verifyingBundles(state);
  const contents = new Map<string, Content>();
  // The first of a name stays: SVIDs may share a SPIFFE ID, and names can be configured to be one.
  const add = (name: string, content: Content): void => {
    if (name !== "" && !contents.has(name)) contents.set(name, content);
  };
  for (const bundle of bundles) add(`spiffe://${bundle.trustDomain}`, { bundles: [bundle] });
  for (const svid of state.svids) add(svid.spiffeId, { svid });
  const ids = [...contents.keys()];
  const own = bundles.filter(({ trustDomain }) => trustDomain === state.trustDomain);
  if (own.length > 0) add(names.bundle, { bundles: own });
  add(names.allBundles, { bundles, all: true });
  for (const svid of state.svids.slice(0, 1)) add(names.svid, { svid });
  const made = new Map<string, NamedSecret>();
  return {
    ids,
    find(name, validator) {
      const content = contents.get(name);
      if (content === undefined) return undefined;
      const key = `${validator} ${name}`;
      const secret = made.get(key) ?? namedSecret(name, content, validator);
      made.set(key, secret);
      return secret;
    },
  };
}

type Content =
  | { readonly svid: WorkloadSvid }
  | { readonly bundles: readonly Bundle[]; readonly all?: true };

/** Own bundle first, then foreign ones by name; Envoy takes no bundle without a certificate. */
function verifyingBundles({ trustDomain: own, bundle, federatedBundles }: EntitledState): Bundle[] {
  const foreign = [...federatedBundles]
    .filter(([trustDomain]) => trustDomain !== own)
    .map(([trustDomain, other]) => ({ ...other, trustDomain }))
    .toSorted((a, b) => (a.trustDomain < b.trustDomain ? -1 : 1));
  return [{ ...bundle, trustDomain: own }, ...foreign].filter(
    ({ x509Authorities }) => x509Authorities.length > 0,
  );
}

function namedSecret(name: string, content: Content, validator: CertificateValidator): NamedSecret {
  const secret = (type: Type, told: readonly (string | Buffer)[]): NamedSecret => ({
    name,
    version: contentHash(told),
    resource: anyPack(SecretSchema, create(SecretSchema, { name, type })),
  });
  if ("svid" in content) return secret(tlsCertificate(content.svid), content.svid.chain);
  if (validator === "spiffe") {
    const told = content.bundles.flatMap((bundle) => [
      bundle.trustDomain,
      ...bundle.x509Authorities,
    ]);
    return secret(spiffeValidation(content.bundles), told);
  }
  if (content.all === true) throw needsSpiffeValidator(name);
  const told = content.bundles.flatMap(({ x509Authorities }) => x509Authorities);
  return secret(trustedCa(content.bundles), told);
}

type Type = NonNullable<MessageInitShape<typeof SecretSchema>["type"]>;

function tlsCertificate({ chain, privateKey }: WorkloadSvid): Type {
  const certificates = chain.map((der) => pemBlock("CERTIFICATE", der)).join("");
  return {
    case: "tlsCertificate",
    value: {
      certificateChain: inline(certificates),
      privateKey: inline(pemBlock("PRIVATE KEY", privateKey)),
    },
  };
}

function trustedCa(bundles: readonly Bundle[]): Type {
  const value = { trustedCa: inline(bundles.map(bundlePem).join("")) };
  return { case: "validationContext", value };
}

function spiffeValidation(bundles: readonly Bundle[]): Type {
  const config = create(SPIFFECertValidatorConfigSchema, {
    trustDomains: bundles.map((bundle) => ({
      name: bundle.trustDomain,
      trustBundle: inline(bundlePem(bundle)),
    })),
  });
  return {
    case: "validationContext",
    value: {
      customValidatorConfig: {
        name: "envoy.tls.cert_validator.spiffe",
        typedConfig: anyPack(SPIFFECertValidatorConfigSchema, config),
      },
    },
  };
}

function inline(pem: string) {
  return { specifier: { case: "inlineBytes", value: Buffer.from(pem) } } as const;
}

/** One list of CAs would let every trust domain vouch for the names of all others. */
function needsSpiffeValidator(name: string): SignetError {
  return new SignetError(
    "INVALID_ARGUMENT",
    `resource ${JSON.stringify(name)}: all bundles are told only for Envoy's SPIFFE certificate validator: use Envoy ` +
      "1.18 or newer without disable_spiffe_cert_validation, or ask for one trust domain's bundle",
  );
}

/** 32 hex digits over all parts and their borders. */
export function contentHash(parts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest("hex").slice(0, 32);
}
