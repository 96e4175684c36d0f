import { describe, expect, it } from "vitest";
import { NEW, OLD, start } from "./harness.ts";
import { NODE_PARENT, alias, fixed, node, pod, rule, staticEntry } from "./universe.ts";
import type { ResourceInput } from "./universe.ts";

const KIND = "ClusterStaticEntry";
const EAST = fixed("nodes/east");
const east = (name = "node-1") => node(name, undefined, { zone: "east" });

/** An entry for pods of the shop on nodes with the alias. */
const onEast = (input: ResourceInput = {}) =>
  staticEntry({ name: "on-east", parentID: EAST, ...input });

describe("a ClusterStaticEntry whose parent is the server", () => {
  it("gives an alias to the nodes that its selectors match, by which other entries name them", () => {
    const { index, ids, status } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyPod(pod({ name: "far", node: "node-2" }));
    index.applyNode(node("node-2"));
    index.applyResource(KIND, alias());
    index.applyResource(KIND, onEast());
    expect([ids("uid-web"), ids("uid-far")]).toEqual([[fixed("static")], []]);
    expect(index.entriesOfPod("uid-web")[0]?.parentId).toBe(EAST);
    expect(status("alias")).toMatchObject({
      ready: true,
      reason: "EntryInEffect",
      message: "Nodes that spec.selectors match have the SPIFFE ID as an alias.",
      entry: { rendered: true, masked: false, set: true },
    });
    expect(status("on-east")).toMatchObject({ ready: true, reason: "EntryInEffect" });
  });

  it("gives pods nothing itself", () => {
    const { index, ids, stats } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyResource(KIND, alias());
    expect(ids()).toEqual([]);
    expect(stats("alias")?.podsSelected).toBe(0);
    expect(index.explainPod("uid-web")[0]).toMatchObject({
      selects: "untried",
      clause: "it gives nodes an alias, not pods an entry",
    });
  });

  it("leaves the nodes' own IDs, so that other entries stay as they are", () => {
    const { index, ids, changes } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource(KIND, staticEntry({ spiffeID: fixed("own") }));
    const before = index.entriesOfPod("uid-web");
    changes.length = 0;
    index.applyNode(east());
    index.applyResource(KIND, alias());
    expect(index.entriesOfPod("uid-web")).toEqual(before);
    expect(changes.flatMap(({ pods }) => [...pods])).toEqual([]);
    expect(ids()).toHaveLength(2);
    expect(before.map(({ parentId }) => parentId)).toEqual([NODE_PARENT, NODE_PARENT]);
  });

  it("comes and goes with the labels of nodes", () => {
    const { index, ids, status, changes } = start();
    index.applyPod(pod());
    index.applyResource(KIND, alias());
    index.applyResource(KIND, onEast());
    expect(ids()).toEqual([]);
    expect(status("alias")).toMatchObject({
      ready: true,
      reason: "NothingSelected",
      message: "In effect, but no node matches spec.selectors now.",
    });
    expect(status("on-east")).toMatchObject({
      ready: true,
      reason: "NothingSelected",
      message: "In effect, but no node has spec.parentID now.",
    });
    changes.length = 0;
    index.applyNode(east());
    expect(ids()).toEqual([fixed("static")]);
    expect(changes).toEqual([
      {
        pods: new Map([["uid-web", "node-1"]]),
        rules: new Set(["uid-alias", "uid-on-east"]),
        bundles: new Set(),
      },
    ]);
    expect(status("alias")?.reason).toBe("EntryInEffect");
    index.applyNode(node("node-1", undefined, { zone: "west" }));
    expect(ids()).toEqual([]);
    expect(status("alias")?.reason).toBe("NothingSelected");
    index.applyNode(east());
    index.removeNode(east());
    expect(ids()).toEqual([]);
    expect(status("alias")?.reason).toBe("NothingSelected");
  });

  it("comes and goes itself, in any order with what names it", () => {
    const { index, ids, status } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyResource(KIND, onEast());
    expect(status("on-east")?.reason).toBe("UnknownParent");
    index.applyResource(KIND, alias());
    expect(ids()).toEqual([fixed("static")]);
    expect(status("on-east")?.reason).toBe("EntryInEffect");
    index.applyResource(KIND, alias({ generation: 2, spiffeID: fixed("nodes/other") }));
    expect(ids()).toEqual([]);
    expect(status("on-east")?.reason).toBe("UnknownParent");
    index.applyResource(KIND, alias({ generation: 3 }));
    expect(ids()).toEqual([fixed("static")]);
    index.applyResource(KIND, alias({ generation: 4, className: "other" }));
    expect(ids()).toEqual([]);
    index.applyResource(KIND, alias({ generation: 5 }));
    index.removeResource(KIND, "uid-alias");
    expect(ids()).toEqual([]);
    expect(status("on-east")?.reason).toBe("UnknownParent");
  });

  it("may become an entry for pods, and back", () => {
    const { index, ids } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyResource(KIND, onEast());
    index.applyResource(KIND, alias());
    expect(ids()).toEqual([fixed("static")]);
    index.applyResource(
      KIND,
      alias({ generation: 2, parentID: NODE_PARENT, selectors: ["k8s:ns:shop"] }),
    );
    expect(ids()).toEqual([EAST]);
    index.applyResource(KIND, alias({ generation: 3 }));
    expect(ids()).toEqual([fixed("static")]);
  });

  it("applies to all nodes of the cluster by its name, and needs every selector", () => {
    const { index, ids } = start();
    index.applyNode(node("node-2"));
    index.applyPod(pod());
    index.applyPod(pod({ name: "far", node: "node-2" }));
    index.applyResource(KIND, alias({ selectors: ["k8s_psat:cluster:demo"] }));
    index.applyResource(KIND, onEast());
    expect([ids("uid-web"), ids("uid-far")]).toEqual([[fixed("static")], [fixed("static")]]);
    index.applyResource(
      KIND,
      alias({
        generation: 2,
        selectors: ["k8s_psat:cluster:demo", "k8s_psat:agent_node_name:node-2"],
      }),
    );
    expect([ids("uid-web"), ids("uid-far")]).toEqual([[], [fixed("static")]]);
  });

  it("may be given by several entries: it stays while one of them matches", () => {
    const { index, ids, status } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyResource(KIND, onEast());
    index.applyResource(KIND, alias());
    index.applyResource(
      KIND,
      alias({ name: "by-name", selectors: ["k8s_psat:agent_node_name:node-1"] }),
    );
    index.removeResource(KIND, "uid-alias");
    expect(ids()).toEqual([fixed("static")]);
    index.applyNode(node());
    expect(ids(), "the one by name matches still").toEqual([fixed("static")]);
    index.applyResource(KIND, alias());
    index.removeResource(KIND, "uid-by-name");
    expect(ids()).toEqual([]);
    expect(status("alias")?.reason).toBe("NothingSelected");
  });

  it("says that it matches no node though another gives one the same alias", () => {
    const { index, status } = start();
    index.applyResource(KIND, alias());
    index.applyResource(
      KIND,
      alias({ name: "by-name", selectors: ["k8s_psat:agent_node_name:node-1"] }),
    );
    expect(status("by-name")?.reason).toBe("EntryInEffect");
    expect(status("alias")?.reason).toBe("NothingSelected");
    index.applyNode(east());
    expect(status("alias")?.reason).toBe("EntryInEffect");
  });

  it("is masked by an older equal one, and steps in for it", () => {
    const { index, ids, status } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.applyResource(KIND, onEast());
    index.applyResource(KIND, alias({ name: "old", created: OLD }));
    index.applyResource(KIND, alias({ name: "young", created: NEW }));
    expect(status("young")).toMatchObject({
      ready: false,
      reason: "Masked",
      entry: { rendered: true, masked: true, set: false },
    });
    index.removeResource(KIND, "uid-old");
    expect(status("young")).toMatchObject({ ready: true, reason: "EntryInEffect" });
    expect(ids()).toEqual([fixed("static")]);
  });

  it("works by the nodes' addresses, which do not touch anything else", () => {
    const { index, ids, changes } = start();
    const at = (address: string) => ({
      ...node(),
      status: { addresses: [{ type: "InternalIP", address }] },
    });
    index.applyPod(pod());
    index.applyResource(KIND, alias({ selectors: ["k8s_psat:agent_node_ip:10.0.0.7"] }));
    index.applyResource(KIND, onEast());
    index.applyNode(at("10.0.0.7"));
    expect(ids()).toEqual([fixed("static")]);
    changes.length = 0;
    index.applyNode(at("10.0.0.7"));
    expect(changes).toEqual([]);
    index.applyNode(at("10.0.0.8"));
    expect(ids()).toEqual([]);
  });

  it("of a whole replaced list takes effect like one by one", () => {
    const { index, ids } = start();
    index.applyNode(east());
    index.applyPod(pod());
    index.replaceResources(KIND, [onEast(), alias()]);
    expect(ids()).toEqual([fixed("static")]);
    index.replaceResources(KIND, [onEast()]);
    expect(ids()).toEqual([]);
    index.batch(() => {
      index.replaceNodes([]);
      index.replaceResources(KIND, [alias(), onEast()]);
      index.replaceNodes([east()]);
    });
    expect(ids()).toEqual([fixed("static")]);
  });
});
