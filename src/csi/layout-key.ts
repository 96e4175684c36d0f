import { createPrivateKey } from "node:crypto";
import type { KeyFormat } from "../api/volume-attributes/parse.ts";
import { pemBlock } from "../spiffe/pem.ts";

/**
 * A key as PEM. SEC1 (RFC 5915) is for elliptic curves and PKCS#1 (RFC 8017 appendix A.1.2) for RSA alone: a key
 * of another kind stays PKCS#8, because a program finds more use in it than in no key.
 */
export function privateKeyPem(pkcs8: Buffer, format: KeyFormat): string {
  if (format !== "pkcs8") {
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    if (key.asymmetricKeyType === (format === "sec1" ? "ec" : "rsa")) {
      return key.export({ format: "pem", type: format }).toString();
    }
  }
  return pemBlock("PRIVATE KEY", pkcs8);
}
