import { createHash } from "node:crypto";
import { join } from "node:path";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { authoritiesOfDocument, authoritiesOfPem } from "./bundle-file.ts";
import { watchedFile } from "./watched-file.ts";

/** A set of CA certificates. */
export interface AnchorSet {
  /** DER, without repetitions. */
  readonly certificates: readonly Buffer[];
  /** Equal for sets that hold the same certificates. */
  readonly fingerprint: string;
}

/** What the operator's certificate is verified with. */
export interface TrustAnchors {
  /** The union of the mounted bundle, as it is now, and the bundle that was pushed last. */
  current(): AnchorSet;
  /** Remembers the bundle that came over a verified session. */
  push(bundle: Bundle): void;
}

/**
 * Trust anchors from `bundle.json` (a SPIFFE bundle document) and `bundle.pem` in `bundleDir`. A file that is
 * missing or broken leaves what was read from it before.
 */
export function trustAnchors({ bundleDir, log }: { bundleDir: string; log: Log }): TrustAnchors {
  const sources = [
    authoritySource(join(bundleDir, "bundle.json"), authoritiesOfDocument, log),
    authoritySource(join(bundleDir, "bundle.pem"), authoritiesOfPem, log),
  ];
  let pushed: readonly Buffer[] = [];
  return {
    current: () => anchorSet([...sources.flatMap((read) => read()), ...pushed]),
    push(bundle) {
      pushed = bundle.x509Authorities;
    },
  };
}

/** The set of `certificates`, whatever their order. */
export function anchorSet(certificates: readonly Buffer[]): AnchorSet {
  const byDigest = new Map(
    certificates.map((der) => [createHash("sha256").update(der).digest("base64"), der]),
  );
  return {
    certificates: [...byDigest.values()],
    fingerprint: [...byDigest.keys()].toSorted().join(),
  };
}

type Parse = (text: string) => Buffer[];

function authoritySource(path: string, parse: Parse, log: Log): () => readonly Buffer[] {
  const file = watchedFile(path);
  let parsed: string | undefined;
  let authorities: readonly Buffer[] = [];
  return () => {
    let text: string | undefined;
    try {
      text = file.read();
      if (text === undefined || text === parsed) return authorities;
      parsed = text;
      authorities = parse(text);
      log.info({ path, authorities: authorities.length }, "read trust bundle");
    } catch (error) {
      log.warn({ path, error: errorMessage(error) }, "trust bundle cannot be read; kept the last");
    }
    return authorities;
  };
}
