import * as fc from "fast-check";
import { expect, it } from "vitest";
import { silentLog } from "../../src/core/log.ts";
import { Cache } from "../../src/kube/cache.ts";
import { startListing, stepReflector } from "../../src/kube/reflector-state.ts";
import type { ReflectorInput, ReflectorState } from "../../src/kube/reflector-state.ts";
import type { KubeObject } from "../../src/kube/types.ts";

interface Model {
  version: number;
  /** Watches and pages from before this are refused. */
  compactedTo: number;
  readonly objects: Map<string, KubeObject>;
  readonly history: { type: "applied" | "removed"; object: KubeObject; version: number }[];
  page: { items: KubeObject[]; at: number } | undefined;
}

function object(name: string, uid: string, version: number): KubeObject {
  const resourceVersion = String(version);
  return { metadata: { name, namespace: "n", uid, resourceVersion, creationTimestamp: "" } };
}

/** A server that changes; `now` is how it is. */
function mutate(model: Model, name: string, remove: boolean): void {
  const old = model.objects.get(name);
  if (remove && !old) return;
  model.version += 1;
  const uid = old?.metadata.uid ?? `uid-${model.version}`;
  const changed = object(name, uid, model.version);
  if (remove) model.objects.delete(name);
  else model.objects.set(name, changed);
  model.history.push({
    type: remove ? "removed" : "applied",
    object: changed,
    version: model.version,
  });
}

/** What the model answers to what the reflector would ask for now; undefined when a watch has nothing to say. */
function ask(
  model: Model,
  state: ReflectorState<KubeObject>,
): ReflectorInput<KubeObject> | undefined {
  if (state.phase === "watch") {
    const since = Number(state.resourceVersion);
    if (since < model.compactedTo) return { type: "failed", blame: "expired" };
    const next = model.history.find((change) => change.version > since);
    return next && { ...next, resourceVersion: String(next.version) };
  }
  const page =
    state.next === undefined
      ? { items: [...model.objects.values()], at: model.version }
      : model.page;
  if (!page || page.at < model.compactedTo) return { type: "failed", blame: "expired" };
  const items = page.items.slice(0, 2);
  model.page = { items: page.items.slice(2), at: page.at };
  const next = model.page.items.length > 0 ? "more" : undefined;
  return { type: "page", items, next, resourceVersion: String(page.at) };
}

const NAMES = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("change"), name: NAMES }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("remove"), name: NAMES }),
  },
  { weight: 10, arbitrary: fc.constant({ do: "step", name: "" }) },
  { weight: 2, arbitrary: fc.constant({ do: "break", name: "" }) },
  { weight: 2, arbitrary: fc.constant({ do: "refuse", name: "" }) },
  { weight: 1, arbitrary: fc.constant({ do: "compact", name: "" }) },
  { weight: 1, arbitrary: fc.constant({ do: "end", name: "" }) },
  { weight: 1, arbitrary: fc.constant({ do: "bookmark", name: "" }) },
);

class World {
  readonly model: Model = {
    version: 1,
    compactedTo: 0,
    objects: new Map(),
    history: [],
    page: undefined,
  };
  readonly cache = new Cache<KubeObject>({ log: silentLog() });
  /** Rebuilt from what listeners hear: must agree with the cache. */
  readonly heard = new Map<string, string>();
  /** False once a listener heard of an object what does not follow from what it heard before. */
  consistent = true;
  state: ReflectorState<KubeObject> = startListing();

  constructor() {
    this.cache.subscribe({
      applied: (now, before) => {
        this.consistent &&= this.heard.get(now.metadata.uid) === before?.metadata.resourceVersion;
        this.heard.set(now.metadata.uid, now.metadata.resourceVersion);
      },
      removed: ({ metadata }) => {
        this.consistent &&= this.heard.delete(metadata.uid);
      },
    });
  }

  feed(input: ReflectorInput<KubeObject> | undefined): void {
    if (!input) return;
    const { state, output } = stepReflector(this.state, input);
    this.state = state;
    if (output?.type === "replace") this.cache.replace(output.objects);
    else if (output?.type === "apply") this.cache.apply(output.object);
    else if (output) this.cache.remove(output.object);
  }

  act(step: { do: string; name: string }): void {
    const { model, state } = this;
    if (step.do === "change" || step.do === "remove")
      mutate(model, step.name, step.do === "remove");
    if (step.do === "step") this.feed(ask(model, state));
    if (step.do === "break") this.feed({ type: "failed", blame: "server" });
    if (step.do === "refuse") this.feed({ type: "failed", blame: "version" });
    if (step.do === "compact") {
      model.compactedTo = model.version;
      model.history.length = 0;
    }
    const upToDate = state.phase === "watch" && ask(model, state) === undefined;
    if (step.do === "end" && state.phase === "watch")
      this.feed({ type: "ended", lastedMs: model.version % 2 === 0 ? 10 : 300_000 });
    if (step.do === "bookmark" && upToDate) {
      this.feed({ type: "bookmark", resourceVersion: String(model.version) });
    }
  }

  /** Runs without further trouble until there is nothing more to hear. */
  settle(): void {
    for (let steps = 0; steps < 1000; steps += 1) {
      const input = ask(this.model, this.state);
      if (!input) return;
      this.feed(input);
    }
    throw new Error("the reflector does not come to rest");
  }
}

const versions = (objects: Iterable<KubeObject>) =>
  new Map([...objects].map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));

it("ends equal to the server, whatever happened on the way, and tells listeners the same", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const world = new World();
      for (const step of actions) world.act(step);
      world.settle();
      expect(versions(world.cache.list())).toEqual(versions(world.model.objects.values()));
      expect(world.consistent).toBe(true);
      expect(world.heard).toEqual(versions(world.model.objects.values()));
      for (const { metadata } of world.cache.list()) {
        expect(world.cache.get(metadata.name, "n")).toBe(world.cache.byUid(metadata.uid));
      }
    }),
    { numRuns: 500 },
  );
});

it("removes nothing when a list fails", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("server", "version", "expired"), { maxLength: 30 }),
      (blames) => {
        const world = new World();
        mutate(world.model, "a", false);
        world.settle();
        for (const blame of blames) world.feed({ type: "failed", blame: blame as "server" });
        expect(world.cache.size).toBe(1);
      },
    ),
  );
});

it("resumes a broken watch from the last event without a list, however often it breaks", () => {
  let state: ReflectorState<KubeObject> = {
    phase: "watch",
    attempt: 0,
    fruitless: 0,
    doubts: 0,
    resourceVersion: "7",
    heard: false,
  };
  for (let times = 1; times <= 50; times += 1) {
    state = stepReflector<KubeObject>(state, { type: "failed", blame: "server" }).state;
    expect(state).toMatchObject({ phase: "watch", resourceVersion: "7", attempt: times });
  }
});

it("lists again when the server keeps refusing the watch for its own reasons", () => {
  let state: ReflectorState<KubeObject> = {
    phase: "watch",
    attempt: 0,
    fruitless: 0,
    doubts: 0,
    resourceVersion: "7",
    heard: false,
  };
  for (let times = 1; times <= 6; times += 1) {
    expect(state.phase).toBe("watch");
    state = stepReflector<KubeObject>(state, { type: "failed", blame: "version" }).state;
  }
  expect(state.phase).toBe("list");
});

it("waits longer and longer when every list expires before its watch brings anything", () => {
  let state: ReflectorState<KubeObject> = startListing();
  for (let times = 1; times <= 4; times += 1) {
    const page = { type: "page", items: [], next: undefined, resourceVersion: "5" } as const;
    state = stepReflector<KubeObject>(state, page).state;
    state = stepReflector<KubeObject>(state, { type: "failed", blame: "expired" }).state;
    expect(state).toMatchObject({ phase: "list", attempt: times });
  }
});

it("lists again after a long watch without even a bookmark, not after a short one", () => {
  const watching: ReflectorState<KubeObject> = {
    phase: "watch",
    attempt: 0,
    fruitless: 0,
    doubts: 0,
    resourceVersion: "7",
    heard: false,
  };
  const ended = (lastedMs: number, heard = false) =>
    stepReflector<KubeObject>({ ...watching, heard }, { type: "ended", lastedMs }).state;
  expect(ended(300_000)).toMatchObject({ phase: "list", attempt: 0 });
  expect(ended(300_000, true)).toMatchObject({ phase: "watch", attempt: 0, resourceVersion: "7" });
  expect(ended(30_000)).toMatchObject({ phase: "watch", attempt: 0, resourceVersion: "7" });
  expect(ended(10)).toMatchObject({ phase: "watch", attempt: 1, resourceVersion: "7" });
});
