import { SignetError, errorMessage } from "../core/errors.ts";
import { analyze } from "./analyze.ts";
import { fromBytes, toBytes } from "./bytes.ts";
import { compileDirect } from "./direct.ts";
import type { Program } from "./exec.ts";
import { parseFailure, positionAt } from "./failure.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { parseTemplate } from "./parser.ts";
import type { Problem } from "./problems.ts";
import { executeReproducibly } from "./reproducible.ts";
import { DATA_TYPE } from "./types.ts";
import { load } from "./value.ts";

/** The data object of a ClusterSPIFFEID template; metadata and specs as the API server's JSON. */
export interface TemplateData {
  readonly TrustDomain: string;
  readonly ClusterName: string;
  readonly ClusterDomain: string;
  readonly PodMeta?: object | undefined;
  readonly PodSpec?: object | undefined;
  readonly NodeMeta?: object | undefined;
  readonly NodeSpec?: object | undefined;
  /** Beside SPIRE's data: metadata of the pod's namespace. */
  readonly NamespaceMeta?: object | undefined;
  /** Beside SPIRE's data: the top-level owner of the pod. */
  readonly Owner?: { readonly Kind: string; readonly Name: string } | undefined;
  /** Beside SPIRE's data: name of the pod's service account. */
  readonly ServiceAccount?: string | undefined;
}

export interface TemplateOptions {
  /**
   * The name the template has for itself, by which `{{template}}` can call it and `{{define}}`
   * can clash with it; default none.
   */
  readonly name?: string;
  readonly limits?: Partial<Limits>;
}

/** A parsed Go text/template; rendering is pure and leaves no state. */
export interface Template {
  readonly text: string;
  /**
   * The data read, two names deep and sorted: `PodMeta.Labels`, `PodSpec.ServiceAccountName`;
   * a bare `PodMeta` means all of it.
   */
  readonly paths: readonly string[];
  readonly usesPod: boolean;
  readonly usesNode: boolean;
  /** Whether it looks at the pod's namespace, if only at whether there is one. */
  readonly usesNamespace: boolean;
  /** What is sure to fail when it runs, such as a field that its type does not have. */
  readonly problems: readonly Problem[];
  /**
   * Renders, within `limits` where they are tighter than the template's own; throws SignetError TEMPLATE_EXEC as
   * Go's execution does, or, with `limit` in its details, when a limit is reached.
   */
  render(data: TemplateData, limits?: Partial<Limits>): string;
}

/**
 * Compiles a Go text/template with the built-in functions (no Sprig).
 * Throws SignetError TEMPLATE_PARSE; details hold line, column (in bytes, from 1), reason and near.
 */
export function compileTemplate(text: string, options: TemplateOptions = {}): Template {
  const bounds: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const bytes = toBytes(text);
  if (bytes.length > bounds.templateBytes) {
    const reason = `the template is longer than ${bounds.templateBytes} bytes`;
    throw parseFailure("", { pos: 0, line: 1 }, reason);
  }
  const program: Program = {
    text: bytes,
    ...parseTemplate(bytes, { ...bounds, name: options.name }),
  };
  const { paths, problems, unsupported } = analyze(program);
  const [first] = unsupported;
  if (first !== undefined) {
    const { line } = positionAt(bytes, first.pos);
    throw parseFailure(bytes, { pos: first.pos, line }, `${first.what} is not supported`);
  }
  const direct = compileDirect(program.root, bounds.outputBytes);
  const uses = (prefix: string) => paths.some((path) => path.startsWith(prefix));
  return {
    text,
    paths: paths.filter((path) => !path.endsWith(".")),
    usesPod: uses("Pod"),
    usesNode: uses("Node"),
    usesNamespace: uses("Namespace"),
    problems,
    render: (data, limits) => direct?.(data) ?? render(program, data, { ...bounds, ...limits }),
  };
}

function render(program: Program, data: TemplateData, limits: Limits): string {
  try {
    const root = () => load(DATA_TYPE.pointerTo(), data, { owner: data, key: "data" });
    return fromBytes(executeReproducibly(program, root, limits));
  } catch (error) {
    if (error instanceof SignetError) throw error;
    // The limits keep the stack small; should it still overflow, that is the template's fault.
    throw new SignetError("TEMPLATE_EXEC", `the template cannot be run: ${errorMessage(error)}`, {
      cause: error,
      details: { reason: errorMessage(error) },
    });
  }
}
