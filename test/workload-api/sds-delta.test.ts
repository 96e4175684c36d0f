import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NodeSchema } from "../../src/rpc/gen/envoy/config/core/v3/base_pb.js";
import { DeltaDiscoveryRequestSchema } from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { respondDelta, takeDeltaRequest } from "../../src/workload-api/sds-delta.ts";
import type { DeltaAnswer, DeltaSubscription } from "../../src/workload-api/sds-delta.ts";
import { SECRET_TYPE } from "../../src/workload-api/sds-secrets.ts";
import type { SecretCatalog } from "../../src/workload-api/sds-secrets.ts";
import { envoyNode } from "./sds-client.ts";

const NAMES = ["a", "b", "c"] as const;
type Content = Readonly<Record<string, number | undefined>>;

function catalog(content: Content): SecretCatalog {
  return {
    ids: Object.keys(content).filter((name) => content[name] !== undefined),
    find(name, validator) {
      const number = content[name];
      if (number === undefined) return undefined;
      const resource = anyPack(StringValueSchema, create(StringValueSchema, { value: name }));
      return { name, version: `${validator} ${number}`, resource };
    },
  };
}

const take = (
  known: DeltaSubscription | undefined,
  request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>,
) =>
  takeDeltaRequest(
    known,
    create(DeltaDiscoveryRequestSchema, { node: create(NodeSchema, envoyNode()), ...request }),
    {
      validatorDisabled: false,
    },
  );
const told = ({ resources = [], removedResources = [] }: DeltaAnswer) => ({
  told: resources.map(({ name, version }) => `${name} ${version}`),
  removed: [...removedResources],
});

/** Plays requests and contents one after another, and gives what was answered after each. */
function exchange(
  steps: readonly (MessageInitShape<typeof DeltaDiscoveryRequestSchema> | { content: Content })[],
) {
  let content: Content = { a: 1, b: 1 };
  let subscription: DeltaSubscription | undefined;
  return steps.map((step) => {
    if ("content" in step) content = step.content;
    else subscription = take(subscription, step).subscription;
    const next = subscription && respondDelta(subscription, catalog(content));
    subscription = next?.subscription ?? subscription;
    return next && told(next.response);
  });
}

describe("an incremental subscription", () => {
  it("is told what it names, and then only what changes of it", () => {
    expect(
      exchange([
        { resourceNamesSubscribe: ["a"] },
        { responseNonce: "1" },
        { content: { a: 1, b: 2 } },
        { content: { a: 2, b: 2 } },
      ]),
    ).toEqual([
      { told: ["a spiffe 1"], removed: [] },
      undefined,
      undefined,
      { told: ["a spiffe 2"], removed: [] },
    ]);
  });

  it("to nothing, or to *, is one to everything", () => {
    const all = { told: ["a spiffe 1", "b spiffe 1"], removed: [] };
    const fewer = { told: ["c spiffe 1"], removed: ["a", "b"] };
    for (const first of [{}, { resourceNamesSubscribe: ["*"] }]) {
      expect(exchange([first, { content: { c: 1 } }])).toEqual([all, fewer]);
    }
    const leave = { resourceNamesUnsubscribe: ["*"] };
    expect(exchange([{}, leave, { content: { a: 5 } }])).toEqual([all, undefined, undefined]);
  });

  it("is told once that there is no such name, and at once when there is", () => {
    expect(
      exchange([
        { resourceNamesSubscribe: ["a", "c"] },
        { content: { a: 2 } },
        { content: { a: 2, c: 1 } },
        { content: { a: 2 } },
      ]),
    ).toEqual([
      { told: ["a spiffe 1"], removed: ["c"] },
      { told: ["a spiffe 2"], removed: [] },
      { told: ["c spiffe 1"], removed: [] },
      { told: [], removed: ["c"] },
    ]);
  });

  it("spares a client that comes back what it still holds", () => {
    const initialResourceVersions = { a: "spiffe 1", b: "spiffe 0", x: "spiffe 1" };
    expect(exchange([{ resourceNamesSubscribe: ["a", "b"], initialResourceVersions }])).toEqual([
      { told: ["b spiffe 1"], removed: [] },
    ]);
    expect(exchange([{ initialResourceVersions }])).toEqual([
      { told: ["b spiffe 1"], removed: ["x"] },
    ]);
  });

  it("tells again what is asked for again, and nothing of what was left", () => {
    expect(
      exchange([
        { resourceNamesSubscribe: ["a", "b"] },
        { resourceNamesSubscribe: ["b"] },
        { resourceNamesUnsubscribe: ["b"] },
        { content: { a: 1, b: 2 } },
      ]),
    ).toEqual([
      { told: ["a spiffe 1", "b spiffe 1"], removed: [] },
      { told: ["b spiffe 1"], removed: [] },
      undefined,
      undefined,
    ]);
  });

  it("tells what is gone to a client that left everything and came back, and may yet read of it", () => {
    expect(
      exchange([
        {},
        { resourceNamesUnsubscribe: ["*"] },
        { content: { b: 1 } },
        { resourceNamesSubscribe: ["*"] },
        { resourceNamesUnsubscribe: ["*"] },
        { resourceNamesSubscribe: ["*"] },
      ]),
    ).toEqual([
      { told: ["a spiffe 1", "b spiffe 1"], removed: [] },
      undefined,
      undefined,
      { told: ["b spiffe 1"], removed: ["a"] },
      undefined,
      { told: ["b spiffe 1"], removed: [] },
    ]);
  });

  it("tells what is gone to a client that named it meanwhile, and could not be answered", () => {
    const first = respondDelta(take(undefined, {}).subscription, catalog({ a: 1, b: 1 }));
    const named = take(first?.subscription, { resourceNamesSubscribe: ["a"] });
    const left = take(named.subscription, { resourceNamesUnsubscribe: ["a"] });
    const next = respondDelta(left.subscription, catalog({ b: 1 }));
    expect(next && told(next.response)).toEqual({ told: [], removed: ["a"] });
    const again = next && take(next.subscription, { resourceNamesUnsubscribe: ["a"] });
    expect(again && respondDelta(again.subscription, catalog({ b: 1 }))).toBeUndefined();
  });

  it("tells each refusal of the last response once, and sends nothing for it", () => {
    const { subscription } = take(undefined, { resourceNamesSubscribe: ["a"] });
    const next = respondDelta(subscription, catalog({ a: 1 }));
    expect(next?.response).toMatchObject({ nonce: "1", typeUrl: SECRET_TYPE });
    const no = { responseNonce: "1", errorDetail: { message: "bad" } };
    const refused = take(next?.subscription, no);
    expect(refused.rejection).toBe("bad");
    expect(respondDelta(refused.subscription, catalog({ a: 1 }))).toBeUndefined();
    expect(take(refused.subscription, no).rejection).toBeUndefined();
    expect(take(next?.subscription, { ...no, responseNonce: "0" }).rejection).toBeUndefined();
  });

  it("holds a bounded number of names, over all requests", () => {
    const many = (from: number) => Array.from({ length: 200 }, (_, i) => `${from + i}`);
    const { subscription } = take(undefined, { resourceNamesSubscribe: many(0) });
    expect(() => take(subscription, { resourceNamesSubscribe: many(200) })).toThrow(/at most 256/);
    const less = { resourceNamesUnsubscribe: many(0), resourceNamesSubscribe: many(200) };
    expect(take(subscription, less).subscription.names).toHaveLength(200);
    const versions = Object.fromEntries([...many(0), ...many(200)].map((name) => [name, "1"]));
    expect(() => take(undefined, { initialResourceVersions: versions })).toThrow(/at most 256/);
    expect(() => take(undefined, { typeUrl: "type.googleapis.com/x" })).toThrow(/type_url/);
  });
});

const step = fc.oneof(
  fc.record({
    kind: fc.constant("change" as const),
    name: fc.constantFrom(...NAMES),
    to: fc.option(fc.nat(2), { nil: undefined }),
    // Or with the next event: a server that waits for a slow reader.
    isToldAtOnce: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("subscribe" as const), names: fc.subarray([...NAMES, "*"]) }),
  fc.record({ kind: fc.constant("unsubscribe" as const), names: fc.subarray([...NAMES, "*"]) }),
  fc.record({ kind: fc.constant("read" as const), accepts: fc.boolean() }),
  fc.record({ kind: fc.constant("reconnect" as const) }),
  // For a while nothing is known, so that nothing can be answered.
  fc.record({ kind: fc.constant("know" as const), isKnown: fc.boolean() }),
);

it("always brings a client that follows xDS to the newest state, telling nothing twice", () => {
  fc.assert(
    fc.property(
      fc.subarray([...NAMES, "*"], { minLength: 1 }),
      fc.array(step, { maxLength: 60 }),
      (names, steps) => {
        const play = playedStream(names);
        for (const event of steps) play.step(event);
        play.step({ kind: "know", isKnown: true });
        while (play.read(true));
        expect(Object.fromEntries(play.held())).toEqual(Object.fromEntries(play.expected()));
        expect(play.repeated).toEqual([]);
      },
    ),
    { numRuns: 2000 },
  );
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A server and a client, with the responses between them on their way. */
function playedStream(initial: readonly string[]) {
  let content: Content = { a: 0, b: 0 };
  let isKnown = true;
  let names = new Set<string>(initial);
  let held = new Map<string, string>();
  let way: DeltaAnswer[] = [];
  let nonce = "";
  let subscription: DeltaSubscription | undefined;
  const sent = new Map<string, string>();
  const repeated: string[] = [];
  const isWanted = (name: string): boolean => names.has(name) || names.has("*");
  const answer = (): void => {
    const next = subscription && isKnown && respondDelta(subscription, catalog(content));
    if (!next) return;
    subscription = next.subscription;
    way.push(next.response);
    for (const { name = "", version = "" } of next.response.resources ?? []) {
      if (sent.get(name) === version) repeated.push(`${name} ${version}`);
      sent.set(name, version);
    }
    for (const name of next.response.removedResources ?? []) {
      if (sent.get(name) === "removed") repeated.push(`${name} removed`);
      sent.set(name, "removed");
    }
  };
  const request = (message: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void => {
    const { resourceNamesSubscribe: more = [], resourceNamesUnsubscribe: less = [] } = message;
    // What is asked for again may be told again.
    for (const name of [...more, ...less]) sent.delete(name);
    if (less.includes("*")) for (const name of NAMES) if (!names.has(name)) sent.delete(name);
    subscription = take(subscription, { ...message, responseNonce: nonce }).subscription;
    answer();
  };
  const read = (accepts: boolean): boolean => {
    const response = way.shift();
    if (response === undefined) return false;
    nonce = response.nonce ?? "";
    for (const { name = "", version = "" } of response.resources ?? []) {
      if (isWanted(name)) held.set(name, version);
    }
    for (const name of response.removedResources ?? []) held.delete(name);
    request(accepts ? {} : { errorDetail: { message: "no" } });
    return true;
  };
  const unsubscribe = (less: readonly string[]): void => {
    names = new Set([...names].filter((name) => !less.includes(name)));
    held = new Map([...held].filter(([name]) => isWanted(name)));
    request({ resourceNamesUnsubscribe: [...less] });
  };
  const reconnect = (): void => {
    if (names.size === 0) return;
    [subscription, way, nonce] = [undefined, [], ""];
    sent.clear();
    for (const [name, version] of held) sent.set(name, version);
    subscription = take(undefined, {
      resourceNamesSubscribe: [...names],
      initialResourceVersions: Object.fromEntries(held),
    }).subscription;
    answer();
  };
  reconnect();
  return {
    repeated,
    read,
    held: () => held,
    step(event: Step): void {
      if (event.kind === "change") {
        content = { ...content, [event.name]: event.to };
        if (event.isToldAtOnce) answer();
      } else if (event.kind === "subscribe") {
        names = new Set([...names, ...event.names]);
        request({ resourceNamesSubscribe: event.names });
      } else if (event.kind === "unsubscribe") unsubscribe(event.names);
      else if (event.kind === "read") read(event.accepts);
      else if (event.kind === "know") {
        isKnown = event.isKnown;
        answer();
      } else reconnect();
    },
    expected: (): [string, string][] =>
      NAMES.filter((name) => isWanted(name) && content[name] !== undefined).map((name) => [
        name,
        `spiffe ${content[name]}`,
      ]),
  };
}
