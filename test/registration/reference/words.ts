/** What came of one object for one pod. */
export interface Noted {
  readonly kind: string;
  readonly pod: string;
  readonly failure: string;
}

export interface ExpectedStatus {
  readonly generation: number;
  readonly reason: string;
  /** What the message says beyond the reason. */
  readonly detail: string;
  readonly stats?: Record<string, number>;
  readonly entry?: { readonly rendered: boolean; readonly masked: boolean; readonly set: boolean };
  readonly missing?: readonly string[];
  readonly failures?: readonly string[];
}
