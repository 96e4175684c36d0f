import type { X509Svid } from "../spiffe/svid.ts";
import type { X509Authority } from "./authority.ts";
import { signCertificate } from "./certificate.ts";
import { leafFields } from "./leaf.ts";
import type { X509SvidRequest } from "./leaf.ts";
import { createSigner } from "./signer.ts";

export interface IssueX509SvidRequest extends X509SvidRequest {
  readonly hint?: string;
  /** ID of the registration entry it is issued for. */
  readonly entryId?: string;
}

/** An issued X509-SVID with what the audit log names it by. */
export interface IssuedX509Svid extends X509Svid {
  /** Serial number in lower-case hex. */
  readonly serial: string;
  readonly authorityId: string;
}

/** Signs X509-SVIDs with one authority. */
export interface X509Issuer {
  readonly authority: X509Authority;
  /**
   * Issues an X509-SVID; throws what `leafFields` throws. A P-256 authority signs within the call,
   * any other on the thread pool.
   */
  issue(request: IssueX509SvidRequest): Promise<IssuedX509Svid>;
}

/** Makes the issuer of an authority; keep it as long as the authority is active. */
export function createX509Issuer(authority: X509Authority): X509Issuer {
  const signer = createSigner(authority.privateKey);
  const intermediates = authority.isRoot ? [] : [authority.certificate, ...authority.chain];
  return {
    authority,
    async issue(request) {
      const fields = leafFields(request, authority);
      const signed = signCertificate(fields, signer);
      return {
        spiffeId: request.spiffeId,
        chain: [signed instanceof Promise ? await signed : signed, ...intermediates],
        notBefore: fields.notBefore,
        notAfter: fields.notAfter,
        hint: request.hint ?? "",
        entryId: request.entryId ?? "",
        serial: fields.serial.toString("hex"),
        authorityId: authority.id,
      };
    },
  };
}
