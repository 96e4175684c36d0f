import { SignetError } from "../core/errors.ts";
import type { Node } from "../rpc/gen/envoy/config/core/v3/base_pb.js";
import { MAX_SPIFFE_ID_BYTES } from "../spiffe/id.ts";
import { SECRET_TYPE } from "./sds-secrets.ts";
import type { CertificateValidator } from "./sds-secrets.ts";

/** More secrets than a workload has identities and bundles. */
const MAX_NAMES = 256;
/** The first Envoy whose SPIFFE certificate validator SPIRE uses. */
const FIRST_VALIDATOR = { major: 1, minor: 18 };
const SWITCH = "disable_spiffe_cert_validation";

/** What is asked for, not what for: secrets are all that there is. Throws INVALID_ARGUMENT for another type. */
export function checkType(typeUrl: string): void {
  if (typeUrl === "" || typeUrl === SECRET_TYPE) return;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `type_url ${JSON.stringify(typeUrl.slice(0, 200))}: only ${SECRET_TYPE} is served`,
  );
}

/** The names of a request, sorted, each once, without empty ones. Throws INVALID_ARGUMENT for too many or too long ones. */
export function checkNames(asked: Iterable<string>): string[] {
  const names = [...new Set(asked)].filter((name) => name !== "");
  const tooLong = names.some((name) => Buffer.byteLength(name) > MAX_SPIFFE_ID_BYTES);
  if (names.length > MAX_NAMES || tooLong) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `resource names: at most ${MAX_NAMES} of at most ${MAX_SPIFFE_ID_BYTES} bytes`,
    );
  }
  return names.toSorted();
}

/**
 * How the client verifies, as SPIRE decides it: by SPIFFE's rules when it is an Envoy that can, and neither `disabled`
 * nor its own metadata, which goes before, say otherwise.
 */
export function validatorFor(node: Node | undefined, disabled: boolean): CertificateValidator {
  const version = node?.userAgentVersionType;
  const build = version?.case === "userAgentBuildVersion" ? version.value.version : undefined;
  const { major, minor } = FIRST_VALIDATOR;
  const able =
    build !== undefined &&
    (build.majorNumber > major || (build.majorNumber === major && build.minorNumber >= minor));
  return able && !(readSwitch(node?.metadata?.[SWITCH]) ?? disabled) ? "spiffe" : "trusted-ca";
}

/** A boolean, or a string that Go reads as one; undefined for anything else. */
function readSwitch(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (typeof value !== "string") return undefined;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(value)) return true;
  return ["0", "f", "F", "FALSE", "false", "False"].includes(value) ? false : undefined;
}
