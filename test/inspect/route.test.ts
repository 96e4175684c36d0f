import { describe, expect, it } from "vitest";
import { findRoute } from "../../src/inspect/route.ts";
import type { RequestHead, Route } from "../../src/inspect/route.ts";

function route(target: string, more: Partial<RequestHead> = {}): Route {
  return findRoute({ method: "GET", target, headers: { host: "localhost" }, ...more });
}

const POST = {
  method: "POST",
  headers: { host: "localhost", "content-type": "application/json; charset=utf-8" },
};

describe("a route", () => {
  it.each<[string, Partial<RequestHead>, Route]>([
    ["/v1/about", {}, { to: "about" }],
    ["/v1/pods/shop/cart-0", {}, { to: "pod", namespace: "shop", name: "cart-0" }],
    [
      "/v1/clusterspiffeids/all%2Fof",
      {},
      { to: "rule", kind: "ClusterSPIFFEID", name: "all/of", maxPods: 20 },
    ],
    [
      "/v1/clusterstaticentries/one?pods=0",
      {},
      { to: "rule", kind: "ClusterStaticEntry", name: "one", maxPods: 0 },
    ],
    ["/v1/render", POST, { to: "render" }],
    ["/v1/entries", {}, { to: "entries", filter: {} }],
    ["/v1/entries?namespace=&node=", {}, { to: "entries", filter: {} }],
    [
      "/v1/entries?namespace=shop&node=n&source=ClusterSPIFFEID/web",
      {},
      {
        to: "entries",
        filter: { namespace: "shop", node: "n", source: { kind: "ClusterSPIFFEID", name: "web" } },
      },
    ],
    ["/v1/entries?source=web", {}, { to: "entries", filter: { source: { name: "web" } } }],
  ])("leads from %s to its answer", (target, more, expected) => {
    expect(route(target, more)).toEqual(expected);
  });

  it.each(["5000", "-1", "x", ""])(
    "never shows more than a thousand pods, asked for %s",
    (pods) => {
      const found = route(`/v1/clusterspiffeids/web?pods=${pods}`);
      expect(found.to === "rule" && found.maxPods).toBe({ "5000": 1000, "": 0 }[pods] ?? 20);
    },
  );

  it.each<[string, string, Partial<RequestHead>, number]>([
    ["another path", "/v1/secrets", {}, 404],
    ["another version", "/v2/about", {}, 404],
    ["an empty segment", "/v1/pods//cart-0", {}, 404],
    ["too long a path", "/v1/pods/shop/cart-0/log", {}, 404],
    ["an inherited name", "/v1/constructor/x", {}, 404],
    ["a broken escape", "/v1/pods/shop/%ff", {}, 400],
    ["another method", "/v1/about", { method: "DELETE" }, 405],
    ["a render that is read", "/v1/render", {}, 405],
    ["a render without a type", "/v1/render", { ...POST, headers: { host: "localhost" } }, 415],
    [
      "a form, which pages may send anywhere",
      "/v1/render",
      { ...POST, headers: { host: "localhost", "content-type": "text/plain" } },
      415,
    ],
  ])("refuses %s", (_, target, more, status) => {
    expect(route(target, more)).toMatchObject({ to: "refuse", status });
  });

  it.each(["localhost", "LOCALHOST:8090", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8090"])(
    "answers the host %s",
    (host) => {
      expect(route("/v1/about", { headers: { host } })).toEqual({ to: "about" });
    },
  );

  it.each([
    undefined,
    "",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "10.0.0.1",
    "localhost:1:2",
  ])("refuses the host %s", (host) => {
    expect(route("/v1/about", { headers: { host } })).toMatchObject({ status: 403 });
  });

  it("refuses what a web page sends", () => {
    const headers = { host: "localhost", origin: "http://localhost:8090" };
    expect(route("/v1/about", { headers })).toMatchObject({ status: 403 });
  });
});
