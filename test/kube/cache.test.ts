import { beforeEach, expect, it } from "vitest";
import { silentLog } from "../../src/core/log.ts";
import { Cache } from "../../src/kube/cache.ts";
import type { Pod } from "../../src/kube/types.ts";

let cache: Cache<Pod>;
let heard: string[];

beforeEach(() => {
  const indices = { node: (pod: Pod) => (pod.spec.nodeName ? [pod.spec.nodeName] : []) };
  cache = new Cache<Pod>({ log: silentLog(), indices });
  heard = [];
});

const listener = {
  applied: ({ metadata }: Pod, before?: Pod) =>
    void heard.push(`${before ? "~" : "+"}${metadata.uid}`),
  removed: ({ metadata }: Pod) => void heard.push(`-${metadata.uid}`),
};

function pod(name: string, uid: string, version: string, nodeName?: string): Pod {
  return {
    metadata: { name, namespace: "shop", uid, resourceVersion: version, creationTimestamp: "" },
    spec: nodeName === undefined ? {} : { nodeName },
  };
}

it("finds objects by name, uid and index", () => {
  const web = pod("web", "u1", "1", "node-a");
  cache.apply(web);
  expect(cache.get("web", "shop")).toBe(web);
  expect(cache.get("web")).toBeUndefined();
  expect(cache.byUid("u1")).toBe(web);
  expect(cache.byIndex("node", "node-a")).toEqual([web]);
  expect(() => cache.byIndex("no", "x")).toThrow(/no index/);
});

it("moves an object in the index when its keys change", () => {
  cache.apply(pod("web", "u1", "1", "node-a"));
  const moved = pod("web", "u1", "2", "node-b");
  cache.apply(moved);
  expect(cache.byIndex("node", "node-a")).toEqual([]);
  expect(cache.byIndex("node", "node-b")).toEqual([moved]);
  cache.remove(moved);
  expect(cache.byIndex("node", "node-b")).toEqual([]);
});

it("tells listeners only the differences of a replacement, removals first", () => {
  cache.replace([pod("same", "u1", "1"), pod("changed", "u2", "1"), pod("gone", "u3", "1")]);
  cache.subscribe(listener);
  heard.length = 0;
  cache.replace([pod("same", "u1", "1"), pod("changed", "u2", "5"), pod("new", "u4", "6")]);
  expect(heard).toEqual(["-u3", "~u2", "+u4"]);
  expect(cache.size).toBe(3);
});

it("tells a new listener of what is there, and stops telling one that left", () => {
  cache.apply(pod("a", "u1", "1"));
  const leave = cache.subscribe(listener);
  leave();
  cache.apply(pod("b", "u2", "2"));
  expect(heard).toEqual(["+u1"]);
});

it("treats another uid under the same name as another object", () => {
  cache.subscribe(listener);
  cache.apply(pod("a", "u1", "1"));
  cache.apply(pod("a", "u2", "2"));
  expect(heard).toEqual(["+u1", "-u1", "+u2"]);
  cache.remove(pod("a", "u1", "1"));
  expect(cache.get("a", "shop")?.metadata.uid).toBe("u2");
});

it("keeps telling the others when one listener throws", () => {
  cache.subscribe({
    applied: () => {
      throw new Error("no");
    },
    removed: () => undefined,
  });
  cache.subscribe(listener);
  cache.apply(pod("a", "u1", "1"));
  expect(heard).toEqual(["+u1"]);
});
