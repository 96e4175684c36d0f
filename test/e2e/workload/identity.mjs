// How a program uses the identity volume: read the files, and read them again when they change.
import { X509Certificate } from "node:crypto";
import { readFileSync, realpathSync, watch } from "node:fs";
import { join } from "node:path";

const folder = process.env.SPIFFE_CREDENTIAL_FOLDER ?? "/var/run/secrets/spiffe.io";

/** Certificate, key and CA of one moment: `..data` is resolved once, so that they belong together. */
export function readIdentity() {
  const now = realpathSync(join(folder, "..data"));
  const read = (name) => readFileSync(join(now, name), "utf8");
  return { cert: read("tls.crt"), key: read("tls.key"), ca: read("ca.crt") };
}

/** Calls `changed` with the new identity after each rotation. */
export function onRotation(changed) {
  watch(folder, (_event, name) => {
    if (name === "..data") changed(readIdentity());
  });
}

/** The SPIFFE ID of a peer whose chain TLS has verified. */
export function spiffeIdOf(certificate) {
  const uris = (certificate.subjectaltname ?? "")
    .split(", ")
    .filter((name) => name.startsWith("URI:"));
  return uris.length === 1 ? uris[0].slice("URI:".length) : undefined;
}

/** Serial number of a PEM certificate: tells one SVID from the next. */
export function serialOf(pem) {
  return new X509Certificate(pem).serialNumber;
}
