/** DNS names of one X509-SVID: with more its certificate outgrows what TLS stacks accept. */
export const MAX_DNS_NAMES = 500;

/** SVIDs of one pod: with more its files and its answers outgrow what a volume and gRPC's clients take. */
export const MAX_SVIDS = 64;

/** An X509-SVID as it is delivered: the certificate chain, leaf first, without its key. */
export interface X509Svid {
  readonly spiffeId: string;
  /** DER certificates: leaf, then intermediates up to but without the root (X509-SVID §5.1). */
  readonly chain: readonly Buffer[];
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Operator's hint which of several SVIDs this is (Workload API §5.3); empty when none. */
  readonly hint: string;
  /** ID of the registration entry it was issued for. */
  readonly entryId: string;
}
