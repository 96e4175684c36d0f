import { create } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { liveValue } from "../../src/core/live.ts";
import { DiscoveryRequestSchema } from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { DiscoveryRequest } from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import type { WorkloadSource, WorkloadState } from "../../src/workload-api/ports.ts";
import type { SecretCatalog } from "../../src/workload-api/sds-secrets.ts";
import { streamSecrets } from "../../src/workload-api/sds-stream.ts";
import { respond, takeRequest } from "../../src/workload-api/sds-subscription.ts";
import type { DiscoveryAnswer, Subscription } from "../../src/workload-api/sds-subscription.ts";

const NAMES = ["a", "b"] as const;

/** Each name's secret is a text with the number of the state's SVIDs. */
function catalog(number: number): SecretCatalog {
  return {
    ids: NAMES,
    find(name) {
      const version = `${name} ${number}`;
      const value = create(StringValueSchema, { value: version });
      return { name, version, resource: anyPack(StringValueSchema, value) };
    },
  };
}

const state = (number: number): WorkloadState =>
  ({ status: "entitled", svids: Array.from({ length: number }) }) as unknown as WorkloadState;
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const step = fc.oneof(
  fc.record({ kind: fc.constant("change" as const), to: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    kind: fc.constant("want" as const),
    names: fc.subarray([...NAMES], { minLength: 1 }),
  }),
  fc.record({ kind: fc.constant("read" as const), accepts: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom("forget" as const, "flush" as const, "admit" as const, "turn" as const),
  }),
);

it("brings a slow client to the newest state, whatever comes while a message is on its way", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const play = playedStream();
      for (const event of steps) {
        if (event.kind === "change") play.change(event.to);
        else if (event.kind === "want") play.want(event.names);
        else if (event.kind === "read") play.read(event.accepts);
        else await play[event.kind]();
      }
      await play.settle();
      expect(play.received()).toEqual(play.expected());
      expect(play.overlaps()).toBe(0);
      await play.end();
    }),
    { numRuns: 500 },
  );
});

/** A client in conversation with the stream, whose messages and requests wait until a test lets them go. */
function playedStream() {
  const source = liveValue(state(1));
  const abort = new AbortController();
  const client = { names: ["a"], version: "", nonce: "", received: [] as string[] };
  const way: DiscoveryAnswer[] = [];
  const asked: DiscoveryRequest[] = [];
  const held = { number: 1, overlaps: 0 };
  let wake = (): void => undefined;
  let flush: (() => void) | undefined;
  let admit = (): void => undefined;
  let subscription: Subscription | undefined;
  async function* requests(): AsyncGenerator<DiscoveryRequest> {
    for (;;) {
      const next = asked.shift();
      if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
      else yield next;
    }
  }
  const running = streamSecrets<DiscoveryRequest, DiscoveryAnswer>({
    requests: requests(),
    send(message) {
      if (flush !== undefined) held.overlaps += 1;
      way.push(message);
      return new Promise((resolve) => (flush = resolve));
    },
    dialogue: {
      take: (request) =>
        void ({ subscription } = takeRequest(subscription, request, { validatorDisabled: false })),
      answer({ svids }) {
        const told = subscription && respond(subscription, catalog(svids.length));
        subscription = told?.subscription ?? subscription;
        return told?.response;
      },
    },
    source: {
      current: () => source.get(),
      subscribe: (listener) => source.subscribe(() => listener()),
      fetchJwtSvids: () => Promise.resolve([]),
    } satisfies WorkloadSource,
    admit: () => new Promise((resolve) => (admit = resolve)),
    signal: abort.signal,
  }).catch((error: unknown) => error);
  const request = (error?: string): void => {
    const { names: resourceNames, version: versionInfo, nonce: responseNonce } = client;
    const refusal = error === undefined ? {} : { errorDetail: { message: error } };
    const message = { resourceNames, versionInfo, responseNonce, ...refusal };
    asked.push(create(DiscoveryRequestSchema, message));
    wake();
  };
  const play = {
    change(to: number): void {
      held.number = to;
      source.set(state(to));
    },
    forget: () => source.set({ status: "unknown" }),
    want(names: string[]): void {
      client.names = names;
      request();
    },
    read(accepts: boolean): void {
      const response = way.shift();
      if (response === undefined) return;
      client.nonce = response.nonce ?? "";
      client.received = (response.resources ?? []).map(
        (resource) => anyUnpack(resource as Any, StringValueSchema)?.value ?? "?",
      );
      if (accepts) client.version = response.versionInfo ?? "";
      request(accepts ? undefined : "no");
    },
    flush(): void {
      const done = flush;
      flush = undefined;
      done?.();
    },
    admit: () => admit(),
    turn,
    received: () => client.received,
    expected: () => client.names.map((name) => `${name} ${held.number}`),
    overlaps: () => held.overlaps,
    async settle(): Promise<void> {
      if (source.get().status === "unknown") play.change(held.number);
      for (let quiet = 0; quiet < 8; quiet += 1) {
        if (way.length + asked.length > 0) quiet = 0;
        play.flush();
        play.admit();
        await turn();
        play.read(true);
      }
    },
    async end(): Promise<void> {
      abort.abort(new Error("over"));
      expect(await running).toMatchObject({ message: "over" });
    },
  };
  request();
  return play;
}
