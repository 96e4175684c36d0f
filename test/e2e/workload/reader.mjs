// Loads the identity as fast as it can and tells once a second, as a line of JSON, what it met.
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { readFileSync, realpathSync, watch } from "node:fs";
import { join } from "node:path";

const folder = process.env.SPIFFE_CREDENTIAL_FOLDER ?? "/var/run/secrets/spiffe.io";
const seen = { reads: 0, missing: 0, mismatched: 0, expired: 0, naiveMissing: 0, notices: 0 };
const serials = [];
const keys = new Set();
const faults = [];
let known = { cert: "", key: "", notAfter: 0 };

/** As a program should: `..data` is resolved once, so that both files are of one moment. */
function readPair() {
  const now = Date.now();
  const folderNow = realpathSync(join(folder, "..data"));
  const cert = readFileSync(join(folderNow, "tls.crt"), "utf8");
  const key = readFileSync(join(folderNow, "tls.key"), "utf8");
  if (cert !== known.cert || key !== known.key) known = inspect(cert, key);
  if (known.notAfter <= now) seen.expired += 1;
}

function inspect(cert, key) {
  const leaf = new X509Certificate(cert);
  const privateKey = createPrivateKey(key);
  if (!leaf.checkPrivateKey(privateKey)) seen.mismatched += 1;
  serials.push(leaf.serialNumber);
  keys.add(createPublicKey(privateKey).export({ type: "spki", format: "der" }).toString("base64"));
  return { cert, key, notAfter: leaf.validToDate.getTime() };
}

/** As programs do: each file by its visible name. It may be of two moments, but is always there. */
function readNaively() {
  for (const name of ["tls.crt", "tls.key", "ca.crt"]) {
    if (readFileSync(join(folder, name), "utf8") === "") throw new Error(`${name} is empty`);
  }
}

function attempt(read, counter) {
  try {
    read();
  } catch (error) {
    seen[counter] += 1;
    if (faults.length < 5) faults.push(String(error));
  }
}

watch(folder, (_event, name) => {
  if (name === "..data") seen.notices += 1;
});

function loop() {
  for (let round = 0; round < 200; round += 1) {
    attempt(readPair, "missing");
    attempt(readNaively, "naiveMissing");
    seen.reads += 1;
  }
  setImmediate(loop);
}

setInterval(() => {
  console.log(JSON.stringify({ ...seen, serials, keys: keys.size, faults }));
}, 1000);
process.on("SIGTERM", () => process.exit(0));
loop();
