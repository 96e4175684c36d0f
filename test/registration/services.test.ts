import { describe, expect, it } from "vitest";
import { uniqueDnsNames } from "../../src/ca/dns-name.ts";
import { serviceNames } from "../../src/registration/services.ts";
import { start } from "./harness.ts";
import { namespace, pod, rule, slice } from "./universe.ts";

/** A rule that takes the names of Services, and the pod web in shop. */
function started(options: Parameters<typeof start>[0] = {}) {
  const started = start(options);
  started.index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true }));
  started.index.applyPod(pod());
  started.changes.length = 0;
  /** The Services whose names the pod has. */
  const services = (uid = "uid-web") =>
    started.dnsNames(uid)?.filter((name) => !name.includes("."));
  return { ...started, services };
}

describe("names of Services", () => {
  it("come in four forms, all of them sorted as one list", () => {
    expect(serviceNames(["web-b", "web"], "shop", "cluster.local")).toEqual([
      "web",
      "web-b",
      "web-b.shop",
      "web-b.shop.svc",
      "web-b.shop.svc.cluster.local",
      "web.shop",
      "web.shop.svc",
      "web.shop.svc.cluster.local",
    ]);
  });

  it("come in three forms where the cluster's domain is unknown", () => {
    const { index, dnsNames } = started({ clusterDomain: "" });
    index.applyEndpointSlice(slice());
    expect(dnsNames()).toEqual(["web", "web.shop", "web.shop.svc"]);
  });

  it("stand after those of templates, each once", () => {
    const { index, dnsNames } = start();
    index.applyPod(pod());
    index.applyEndpointSlice(slice());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ autoPopulateDNSNames: true, dnsNameTemplates: ["z.example", "web.shop.svc"] }),
    );
    expect(dnsNames()).toEqual([
      "z.example",
      "web.shop.svc",
      "web",
      "web.shop",
      "web.shop.svc.cluster.local",
    ]);
  });

  it("are given only where the rule says autoPopulateDNSNames, and come with it", () => {
    const { index, dnsNames } = start();
    index.applyPod(pod());
    index.applyEndpointSlice(slice());
    index.applyResource("ClusterSPIFFEID", rule({ dnsNameTemplates: ["a.example"] }));
    expect(dnsNames()).toEqual(["a.example"]);
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ generation: 2, dnsNameTemplates: ["a.example"], autoPopulateDNSNames: true }),
    );
    expect(dnsNames()).toHaveLength(5);
    index.applyResource("ClusterSPIFFEID", rule({ generation: 3, autoPopulateDNSNames: false }));
    expect(dnsNames()).toEqual([]);
  });

  it("that a wildcard among the templates covers are a failure of the pod", () => {
    const { index, ids, status } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ autoPopulateDNSNames: true, dnsNameTemplates: ["*.shop.svc"] }),
    );
    expect(ids()).toHaveLength(1);
    index.applyEndpointSlice(slice());
    expect(ids()).toEqual([]);
    expect(status("all")?.failures[0]?.message).toContain('"*.shop.svc" already covers');
    index.removeEndpointSlice(slice());
    expect(ids()).toHaveLength(1);
  });

  it("may be 500 in all; more are a failure of the pod", () => {
    const { index, ids, status, dnsNames } = started();
    const add = (n: number) =>
      index.applyEndpointSlice(slice({ name: `s${n}`, service: `service-${n}` }));
    for (let n = 0; n < 125; n += 1) add(n);
    expect(dnsNames()).toHaveLength(500);
    expect(uniqueDnsNames(dnsNames() ?? [])).toHaveLength(500);
    add(125);
    expect(ids()).toEqual([]);
    expect(status("all")).toMatchObject({ reason: "RenderFailed", stats: { podsSelected: 1 } });
    expect(status("all")?.failures[0]?.message).toBe(
      "spec.autoPopulateDNSNames: the pod would have 504 DNS names; at most 500 fit into a certificate that TLS stacks accept",
    );
    index.removeEndpointSlice(slice({ name: "s7" }));
    expect(dnsNames()).toHaveLength(500);
  });
});

describe("an EndpointSlice", () => {
  it("names every pod it lists: ready, not ready and terminating ones", () => {
    const { index, services, changes } = started();
    for (const name of ["unready", "ending", "unlisted"]) index.applyPod(pod({ name }));
    changes.length = 0;
    index.applyEndpointSlice(
      slice({
        endpoints: [
          { name: "web" },
          { name: "unready", ready: false },
          { name: "ending", ready: false, terminating: true },
        ],
      }),
    );
    expect(["web", "unready", "ending", "unlisted"].map((name) => services(`uid-${name}`))).toEqual(
      [["web"], ["web"], ["web"], []],
    );
    expect(changes.map(({ pods }) => [...pods.keys()].toSorted())).toEqual([
      ["uid-ending", "uid-unready", "uid-web"],
    ]);
  });

  it("changes nothing when it only says other things of the same pods", () => {
    const { index, changes } = started();
    index.applyEndpointSlice(slice());
    changes.length = 0;
    index.applyEndpointSlice(slice({ endpoints: [{ name: "web", ready: false }] }));
    index.applyEndpointSlice(slice({ endpoints: [{ name: "web" }, { name: "web" }] }));
    expect(changes).toEqual([]);
  });

  it("is one of several of its Service: the names go with the last that lists the pod", () => {
    const { index, services, changes } = started();
    index.applyEndpointSlice(slice({ name: "one" }));
    changes.length = 0;
    index.applyEndpointSlice(slice({ name: "two" }));
    expect(changes, "the second adds nothing").toEqual([]);
    index.removeEndpointSlice(slice({ name: "one" }));
    expect(changes).toEqual([]);
    expect(services()).toEqual(["web"]);
    index.removeEndpointSlice(slice({ name: "two" }));
    expect(services()).toEqual([]);
  });

  it("has nothing rendered anew by a further slice of its Service", () => {
    const { index, services } = started();
    const entry = () => index.explainRule("ClusterSPIFFEID", "all", 1)?.pods[0]?.entry;
    index.applyEndpointSlice(slice({ name: "one" }));
    const before = entry();
    index.applyEndpointSlice(slice({ name: "two" }));
    index.removeEndpointSlice(slice({ name: "one" }));
    expect(entry()).toBe(before);
    expect(services()).toEqual(["web"]);
  });

  it("of two Services gives the pod the names of both", () => {
    const { index, services } = started();
    index.applyEndpointSlice(slice());
    index.applyEndpointSlice(slice({ name: "api-1", service: "api" }));
    expect(services()).toEqual(["api", "web"]);
  });

  it("may move to another Service", () => {
    const { index, services } = started();
    index.applyEndpointSlice(slice());
    index.applyEndpointSlice(slice({ service: "api" }));
    expect(services()).toEqual(["api"]);
  });

  it("may move from pod to pod in one event", () => {
    const { index, services, changes } = started();
    index.applyPod(pod({ name: "next" }));
    index.applyEndpointSlice(slice());
    changes.length = 0;
    index.applyEndpointSlice(slice({ endpoints: [{ name: "next" }] }));
    expect([services("uid-web"), services("uid-next")]).toEqual([[], ["web"]]);
    expect(changes).toHaveLength(1);
  });

  it.each([
    ["emptied", { endpoints: [] }],
    ["without endpoints", { endpoints: null }],
    ["without the Service's label", { service: undefined }],
    ["with an empty label", { service: "" }],
  ])("gives no names once it is %s, and again when it is as before", (_what, change) => {
    const { index, services } = started();
    index.applyEndpointSlice(slice());
    index.applyEndpointSlice(slice(change));
    expect(services()).toEqual([]);
    index.applyEndpointSlice(slice());
    expect(services()).toEqual(["web"]);
    index.removeEndpointSlice(slice());
    expect(services()).toEqual([]);
    index.removeEndpointSlice(slice());
    expect(services()).toEqual([]);
  });

  it.each([
    ["of another kind", { kind: "Node", name: "web", uid: "uid-web" }],
    ["without a name and UID", { uid: undefined }],
    ["with the UID of no pod", { name: "web", uid: "uid-of-a-former-one" }],
    ["with an empty name", { name: "", uid: "" }],
  ])("gives no names for an endpoint %s", (_what, endpoint) => {
    const { index, services } = started();
    index.applyEndpointSlice(slice({ endpoints: [endpoint] }));
    index.applyEndpointSlice({ ...slice({ name: "bare" }), endpoints: [{}] });
    expect(services()).toEqual([]);
  });

  it("made by hand may name pods without UIDs", () => {
    const { index, services } = started();
    const byName = slice({ endpoints: [{ name: "web", uid: undefined }] });
    index.applyEndpointSlice(byName);
    expect(services()).toEqual(["web"]);
    index.applyEndpointSlice(slice({ name: "by-uid" }));
    expect(services(), "a Service twice is one").toEqual(["web"]);
    index.removeEndpointSlice(byName);
    expect(services()).toEqual(["web"]);
    index.removeEndpointSlice(slice({ name: "by-uid" }));
    expect(services()).toEqual([]);
  });

  it("by name follows the name to the pod that has it now", () => {
    const { index, services } = started();
    index.applyEndpointSlice(slice({ endpoints: [{ name: "web", uid: undefined }] }));
    index.removePod(pod());
    index.applyPod(pod({ uid: "uid-again" }));
    expect(services("uid-again")).toEqual(["web"]);
  });

  it("may be there before the pod and before the rule", () => {
    const { index, dnsNames } = start();
    index.applyEndpointSlice(slice());
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true }));
    expect(dnsNames()?.[0]).toBe("web");
  });

  it("of a replaced list comes and goes with it", () => {
    const { index, services, changes } = started();
    index.replaceEndpointSlices([slice(), slice({ name: "api-1", service: "api" })]);
    expect(services()).toEqual(["api", "web"]);
    changes.length = 0;
    index.replaceEndpointSlices([slice({ name: "api-1", service: "api" })]);
    expect(services()).toEqual(["api"]);
    expect(changes).toHaveLength(1);
    index.replaceEndpointSlices([]);
    expect(services()).toEqual([]);
  });

  it("reaches the pod in one batch with anything else", () => {
    const { index, services } = started();
    index.batch(() => {
      index.applyEndpointSlice(slice());
      index.applyPod(pod({ labels: { a: "b" } }));
    });
    expect(services()).toEqual(["web"]);
    index.batch(() => {
      index.removeEndpointSlice(slice());
      index.applyResource(
        "ClusterSPIFFEID",
        rule({ generation: 2, autoPopulateDNSNames: true, hint: "x" }),
      );
    });
    expect(services()).toEqual([]);
  });

  it("gives names to a pod that a fallback serves, once it does", () => {
    const { index, services } = started();
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ generation: 2, autoPopulateDNSNames: true, fallback: true }),
    );
    index.applyResource("ClusterSPIFFEID", rule({ name: "main" }));
    index.applyEndpointSlice(slice());
    expect(services()).toEqual([]);
    index.removeResource("ClusterSPIFFEID", "uid-main");
    expect(services()).toEqual(["web"]);
  });
});

describe("an EndpointSlice cannot give names to pods that are not its namespace's", () => {
  it.each([
    ["by UID", { name: "web", uid: "uid-web" }],
    ["by UID and namespace", { name: "web", uid: "uid-web", namespace: "shop" }],
    ["by name and namespace", { name: "web", uid: undefined, namespace: "shop" }],
    ["by name", { name: "web", uid: undefined }],
    ["by a name that looks like a key", { name: "shop/name=web", uid: undefined }],
    ["by a UID that looks like a key", { name: "x", uid: "x/../shop/uid=uid-web" }],
  ])("%s", (_what, endpoint) => {
    const { index, services } = started();
    index.applyNamespace(namespace("evil"));
    index.applyPod(pod({ name: "own", namespace: "evil" }));
    const entry = () => index.explainRule("ClusterSPIFFEID", "all", 10)?.pods.at(-1)?.entry;
    const before = entry();
    index.applyEndpointSlice(slice({ namespace: "evil", endpoints: [endpoint] }));
    expect(services("uid-web")).toEqual([]);
    expect(entry(), "nor does it cost anything").toBe(before);
    expect(services("uid-own")).toEqual([]);
  });

  it("nor one with a targetRef to another namespace, even by the UID of a pod of its own", () => {
    const { index, services } = started();
    index.applyEndpointSlice(slice({ endpoints: [{ name: "web", namespace: "other" }] }));
    expect(services()).toEqual([]);
  });

  it.each([
    "db.bank",
    "db.bank.svc.cluster.local",
    "www.example.com",
    "Web",
    "web_1",
    "-web",
    "web-",
    "a".repeat(64),
    "*",
    "web/x",
  ])("nor any names for a Service that cannot exist: %s", (service) => {
    const { index, dnsNames } = started();
    index.applyEndpointSlice(slice({ service }));
    expect(dnsNames()).toEqual([]);
  });
});
