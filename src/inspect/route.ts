import type { SourceKind } from "../registration/types.ts";
import { parseEntryFilter } from "./entry-filter.ts";
import type { EntryFilter } from "./entry-filter.ts";

/** What a request asks for, or why it is not answered. */
export type Route =
  | { readonly to: "about" }
  | { readonly to: "pod"; readonly namespace: string; readonly name: string }
  | {
      readonly to: "rule";
      readonly kind: SourceKind;
      readonly name: string;
      readonly maxPods: number;
    }
  | { readonly to: "entries"; readonly filter: EntryFilter }
  | { readonly to: "render" }
  | { readonly to: "refuse"; readonly status: number; readonly message: string };

/** The part of a request that decides where it goes. */
export interface RequestHead {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const DEFAULT_PODS = 20;
const MOST_PODS = 1000;

const KINDS: Readonly<Record<string, SourceKind>> = {
  clusterspiffeids: "ClusterSPIFFEID",
  clusterstaticentries: "ClusterStaticEntry",
};

/** Finds the route of a request. */
export function findRoute(request: RequestHead): Route {
  const stranger = strangerProblem(request.headers);
  if (stranger !== undefined) return refuse(403, stranger);
  const url = URL.parse(request.target, "http://localhost");
  const segments = url && pathSegments(url.pathname);
  if (!url || !segments) return refuse(400, "the path cannot be read");
  const route = routeOf(segments, url.searchParams);
  if (route === undefined) return refuse(404, `there is nothing at ${url.pathname}`);
  const method = route.to === "render" ? "POST" : "GET";
  if (request.method !== method) return refuse(405, `only ${method} is allowed here`);
  if (route.to === "render" && !isJson(request.headers["content-type"])) {
    return refuse(415, "content-type must be application/json");
  }
  return route;
}

function refuse(status: number, message: string): Route {
  return { to: "refuse", status, message };
}

/**
 * Whoever forwards the port to a desktop also offers it to the pages in that desktop's browser. A page that reached it by
 * its own name (DNS rebinding) sends that name as Host, and one that reached it across origins sends Origin.
 */
function strangerProblem(headers: RequestHead["headers"]): string | undefined {
  if (headers["origin"] !== undefined) return "requests of web pages are not answered";
  const { host } = headers;
  const name = typeof host === "string" ? host.replace(/:\d+$/, "").toLowerCase() : "";
  if (name === "localhost" || name === "127.0.0.1" || name === "[::1]") return undefined;
  return "the Host header must be localhost, 127.0.0.1 or [::1]";
}

function isJson(type: string | string[] | undefined): boolean {
  return typeof type === "string" && /^application\/json\s*(;|$)/i.test(type);
}

/** Undefined when an escape is broken. */
function pathSegments(path: string): string[] | undefined {
  try {
    return path.slice(1).split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function routeOf(segments: readonly string[], query: URLSearchParams): Route | undefined {
  const [version, what = "", first, second] = segments;
  if (version !== "v1" || segments.includes("")) return undefined;
  const key = `${what} ${segments.length}`;
  if (key === "about 2") return { to: "about" };
  if (key === "entries 2") return { to: "entries", filter: parseEntryFilter(query) };
  if (key === "render 2") return { to: "render" };
  if (key === "pods 4") return { to: "pod", namespace: first ?? "", name: second ?? "" };
  const kind = Object.hasOwn(KINDS, what) ? KINDS[what] : undefined;
  if (kind === undefined || segments.length !== 3) return undefined;
  return { to: "rule", kind, name: first ?? "", maxPods: readMaxPods(query) };
}

/** How many pods of a custom resource are shown. */
function readMaxPods(query: URLSearchParams): number {
  const asked = Number(query.get("pods") ?? DEFAULT_PODS);
  return Number.isInteger(asked) && asked >= 0 ? Math.min(asked, MOST_PODS) : DEFAULT_PODS;
}
