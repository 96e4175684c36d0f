// A witness: looks at its identity ten times a second, and prints a JSON line for every rotation and every violation.
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readIdentity } from "./identity.mjs";

const EVERY_MS = 100;
let serial;
let wrong;

function say(kind, facts) {
  console.log(JSON.stringify({ kind, at: Date.now(), ...facts }));
}

/** A rotation may take the folder away between two reads: then the next one is read. */
function read() {
  try {
    return readIdentity();
  } catch {
    return readIdentity();
  }
}

/** What breaks the promise about the pair, or undefined. */
function violation(certificate, { key, ca }) {
  const now = Date.now();
  if (now > certificate.validToDate.getTime()) return "the certificate has expired";
  if (now < certificate.validFromDate.getTime()) return "the certificate is not valid yet";
  if (!certificate.checkPrivateKey(createPrivateKey(key))) return "key and certificate differ";
  const authorities = ca.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
  const trusted = authorities.some((pem) => certificate.verify(new X509Certificate(pem).publicKey));
  return trusted ? undefined : "no authority of ca.crt signed the certificate";
}

function look() {
  let found;
  try {
    const identity = read();
    const certificate = new X509Certificate(identity.cert);
    found = violation(certificate, identity);
    if (certificate.serialNumber !== serial) {
      serial = certificate.serialNumber;
      say("rotation", {
        serial,
        spiffeId: certificate.subjectAltName?.replace(/^URI:/, ""),
        notBefore: certificate.validFromDate.getTime(),
        notAfter: certificate.validToDate.getTime(),
      });
    }
  } catch (error) {
    found = `the pair cannot be read: ${error.message}`;
  }
  if (found !== undefined && found !== wrong) say("violation", { what: found });
  wrong = found;
}

look();
setInterval(look, EVERY_MS);
process.on("SIGTERM", () => process.exit(0));
