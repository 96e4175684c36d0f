import type { Bundle } from "../spiffe/bundle.ts";
import { parsePem } from "../spiffe/pem.ts";
import { authoritiesOf, x509Authorities } from "./journal.ts";
import type { Journal } from "./journal.ts";
import { loadJwtAuthority } from "./jwt-authority.ts";

/**
 * The bundle that a journal publishes: the roots of every X.509 authority in it and the key of every JWT authority,
 * prepared ones included, oldest first, each once. `refreshHint` is in seconds.
 */
export function journalBundle(journal: Journal, refreshHint: number): Bundle {
  const roots = x509Authorities(journal)
    .flatMap(({ certificate, roots: upstream = [certificate] }) => upstream)
    .flatMap((pem) => parsePem("CERTIFICATE", pem));
  const unique = new Map(roots.map((der) => [der.toString("base64"), der]));
  return {
    trustDomain: journal.trustDomain,
    x509Authorities: [...unique.values()],
    jwtAuthorities: authoritiesOf(journal, "jwt").map(
      (record) => loadJwtAuthority(record).verifier,
    ),
    sequence: journal.sequence,
    refreshHint,
  };
}
