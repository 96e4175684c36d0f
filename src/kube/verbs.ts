export interface CallOptions {
  readonly signal?: AbortSignal;
  /** For the whole call, in milliseconds; the client's own limit when left out. */
  readonly timeoutMs?: number;
}

export interface WriteOptions extends CallOptions {
  /** `status`, `scale`, ... */
  readonly subresource?: string;
  /** Asks for every check, stores nothing. */
  readonly dryRun?: boolean;
}

export interface ApplyOptions extends WriteOptions {
  /** Owner of the applied fields. */
  readonly fieldManager: string;
  /** Takes fields over from other managers instead of failing with CONFLICT. */
  readonly force?: boolean;
}

export interface RemoveOptions extends CallOptions {
  /** Refuses (CONFLICT) when the object has another uid by now. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagationPolicy?: "Foreground" | "Background" | "Orphan";
}

/** Which objects of a resource; all namespaces when `namespace` is left out. */
export interface Selection {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListOptions extends Selection, CallOptions {
  /** Page size; one answer with everything when left out. */
  readonly limit?: number;
  /** Where the page before said to go on. */
  readonly continue?: string | undefined;
}

export interface WatchOptions extends Selection {
  /** From the list or event that was seen last. */
  readonly resourceVersion: string;
  /** After which the server is asked to end the watch. */
  readonly timeoutSeconds: number;
}

export type Patch =
  | { readonly type: "merge"; readonly body: Readonly<Record<string, unknown>> }
  | { readonly type: "json"; readonly body: readonly JsonPatchOperation[] };

export interface JsonPatchOperation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
  readonly from?: string;
}
