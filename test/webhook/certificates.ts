import "reflect-metadata";
import { createPrivateKey, webcrypto } from "node:crypto";
import { X509CertificateGenerator } from "@peculiar/x509";
import type { TlsMaterial } from "../../src/core/live.ts";

/** A self-signed certificate for `localhost` with this common name, made by an independent library. */
export async function selfSigned(commonName: string): Promise<TlsMaterial> {
  const notAfter = Date.now() + 3_600_000;
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${commonName}`,
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(notAfter),
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return {
    key: key.export({ format: "pem", type: "pkcs8" }).toString(),
    cert: certificate.toString("pem"),
    notAfter,
  };
}
