import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DiscoveryRequestSchema } from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { SECRET_TYPE } from "../../src/workload-api/sds-secrets.ts";
import type { CertificateValidator, SecretCatalog } from "../../src/workload-api/sds-secrets.ts";
import { respond, respondOnce, takeRequest } from "../../src/workload-api/sds-subscription.ts";
import type { DiscoveryAnswer, Subscription } from "../../src/workload-api/sds-subscription.ts";
import { envoyNode } from "./sds-client.ts";

const NAMES = ["a", "b", "c"] as const;
const OPTIONS = { validatorDisabled: false };
type Content = Readonly<Record<string, number>>;

/** Secrets that are only a text: name, validator and number. */
function catalog(content: Content): SecretCatalog {
  return {
    ids: Object.keys(content),
    find(name, validator) {
      const number = content[name];
      if (number === undefined) return undefined;
      const value = text(name, validator, number);
      const resource = anyPack(StringValueSchema, create(StringValueSchema, { value }));
      return { name, version: value, resource };
    },
  };
}

const text = (name: string, validator: CertificateValidator, number: number): string =>
  `${name} ${validator} ${number}`;
const texts = ({ resources = [] }: DiscoveryAnswer): string[] =>
  resources.map((resource) => anyUnpack(resource as Any, StringValueSchema)?.value ?? "?");
const take = (
  known: Subscription | undefined,
  request: MessageInitShape<typeof DiscoveryRequestSchema>,
) => takeRequest(known, create(DiscoveryRequestSchema, request), OPTIONS);

/** A subscription whose first response was sent. */
function subscribed(names: string[], content: Content) {
  const { subscription } = take(undefined, { resourceNames: names, node: envoyNode() });
  const told = respond(subscription, catalog(content));
  if (told === undefined) throw new Error("no response");
  return told;
}

describe("a subscription to the state of the world", () => {
  const content = { a: 1, b: 1, c: 1 };

  it("is answered at once with what it names, whatever version the client says it has", () => {
    const first = subscribed(["b", "a", "b", ""], content);
    expect(texts(first.response)).toEqual(["a spiffe 1", "b spiffe 1"]);
    expect(first.response).toMatchObject({ typeUrl: SECRET_TYPE, nonce: "1" });
    const { versionInfo = "" } = first.response;
    const { subscription } = take(undefined, {
      resourceNames: ["a", "b"],
      node: envoyNode(),
      versionInfo,
      responseNonce: "17",
    });
    expect(respond(subscription, catalog(content))?.response.versionInfo).toBe(versionInfo);
  });

  it("to nothing is one to everything", () => {
    const { response } = subscribed([], content);
    expect(texts(response)).toEqual(["a spiffe 1", "b spiffe 1", "c spiffe 1"]);
  });

  it("is told again only what is new to it", () => {
    const { subscription } = subscribed(["a"], content);
    expect(respond(subscription, catalog({ ...content, b: 2 }))).toBeUndefined();
    const next = respond(subscription, catalog({ ...content, a: 2 }));
    expect(next && texts(next.response)).toEqual(["a spiffe 2"]);
    expect(next?.response.nonce).toBe("2");
  });

  it("with a name that there is not, or is no more, ends with the names that are wrong", () => {
    expect(() => subscribed(["a", "x", "y"], content)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: 'workload is not authorized for the requested identities ["x","y"]',
      }),
    );
    const { subscription } = subscribed(["a"], content);
    expect(() => respond(subscription, catalog({ b: 1 }))).toThrow(/not authorized.*"a"/);
  });

  it("keeps the client's validator where later requests do not name the client", () => {
    const { subscription, response } = subscribed(["a"], content);
    const reply = {
      resourceNames: ["a", "b"],
      responseNonce: "1",
      versionInfo: response.versionInfo ?? "",
    };
    const later = respond(take(subscription, reply).subscription, catalog(content));
    expect(later && texts(later.response)).toEqual(["a spiffe 1", "b spiffe 1"]);
    const off = envoyNode(40, { disable_spiffe_cert_validation: true });
    const switched = take(subscription, { ...reply, resourceNames: ["a"], node: off });
    const told = respond(switched.subscription, catalog(content));
    expect(told && texts(told.response)).toEqual(["a trusted-ca 1"]);
  });

  it("is told other names also where their content is the same", () => {
    const same: SecretCatalog = {
      ids: [],
      find: (name, validator) => {
        const secret = catalog({ [name]: 1 }).find(name, validator);
        return secret && { ...secret, version: "same" };
      },
    };
    const { subscription } = take(undefined, { resourceNames: ["a"], node: envoyNode() });
    const first = respond(subscription, same);
    const more = { responseNonce: "1", versionInfo: first?.response.versionInfo ?? "" };
    const other = take(first?.subscription, { ...more, resourceNames: ["b"] });
    // Nothing could be told yet, and the client says it again.
    const again = take(other.subscription, { ...more, resourceNames: ["b"] });
    const told = respond(again.subscription, same);
    expect(told && texts(told.response)).toEqual(["b spiffe 1"]);
  });

  it("tells each refusal once, with the client's words", () => {
    const { subscription } = subscribed(["a"], content);
    const no = { resourceNames: ["a"], responseNonce: "1", errorDetail: { message: "bad key" } };
    const refused = take(subscription, no);
    expect(refused.rejection).toBe("bad key");
    expect(take(refused.subscription, no).rejection).toBeUndefined();
    expect(respond(refused.subscription, catalog(content))).toBeUndefined();
    const next = respond(refused.subscription, catalog({ ...content, a: 2 }));
    expect(next && take(next.subscription, { ...no, responseNonce: "2" }).rejection).toBe(
      "bad key",
    );
  });

  it("takes an answer that keeps to an older version for a refusal", () => {
    const { subscription } = subscribed(["a"], content);
    const request = { resourceNames: ["a"], responseNonce: "1", versionInfo: "older" };
    expect(take(subscription, request).rejection).toBe("");
    const version = subscription.version ?? "";
    expect(take(subscription, { ...request, versionInfo: version }).rejection).toBeUndefined();
  });

  it("ignores what answers another response than the last", () => {
    const { subscription } = subscribed(["a"], content);
    for (const responseNonce of ["", "0", "2", "01"]) {
      const stale = { resourceNames: ["b"], responseNonce, errorDetail: { message: "no" } };
      expect(take(subscription, stale)).toEqual({ subscription });
    }
  });

  it("is refused for another type, too many names and one that is too long", () => {
    const typeUrl = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    expect(() => take(undefined, { typeUrl })).toThrow(/type_url.*Cluster.*only.*Secret is served/);
    expect(take(undefined, { typeUrl: SECRET_TYPE }).subscription.names).toEqual([]);
    const many = Array.from({ length: 257 }, (_, i) => `${i}`);
    expect(() => take(undefined, { resourceNames: many })).toThrow(/at most 256/);
    expect(take(undefined, { resourceNames: many.slice(1) }).subscription.names).toHaveLength(256);
    const long = "é".repeat(1024);
    expect(take(undefined, { resourceNames: [long] }).subscription.names).toEqual([long]);
    expect(() => take(undefined, { resourceNames: [`${long}x`] })).toThrow(/at most 2048 bytes/);
  });

  it("of one question is answered without a nonce", () => {
    const request = create(DiscoveryRequestSchema, { resourceNames: ["b"], node: envoyNode() });
    const response = respondOnce(request, catalog(content), OPTIONS);
    expect(texts(response)).toEqual(["b spiffe 1"]);
    expect(response.nonce).toBeUndefined();
    expect(response.versionInfo).toBe(subscribed(["b"], content).response.versionInfo);
  });
});

/** Something that happens to a stream: a change, other names, or the client reads a response and says what it thinks. */
const step = fc.oneof(
  fc.record({ kind: fc.constant("change"), name: fc.constantFrom(...NAMES), to: fc.nat(2) }),
  fc.record({ kind: fc.constant("names"), names: fc.subarray([...NAMES], { minLength: 0 }) }),
  fc.record({ kind: fc.constant("read"), accepts: fc.boolean() }),
);

it("always brings a client that follows xDS to the newest state, and never speaks without a reason", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.subarray([...NAMES]), (steps, names) => {
      const play = playedStream(names);
      for (const { kind, ...rest } of steps) {
        if (kind === "change") play.change(rest as { name: string; to: number });
        else if (kind === "names") play.want((rest as { names: string[] }).names);
        else play.read((rest as { accepts: boolean }).accepts);
      }
      while (play.read(true));
      expect(play.client.received).toEqual(play.expected());
      expect(play.responses).toBeLessThanOrEqual(play.reasons);
      expect(play.idleAnswers).toBe(0);
    }),
    { numRuns: 2000 },
  );
});

/** A server and a client that tells its names in every request, with the responses between them on their way. */
function playedStream(initial: string[]) {
  let content: Content = { a: 0, b: 0, c: 0 };
  const client = { names: initial, version: "", nonce: "", received: [] as string[] };
  const way: DiscoveryAnswer[] = [];
  const play = { client, responses: 0, reasons: 1, idleAnswers: 0, change, want, read, expected };
  let subscription: Subscription | undefined;
  const answer = (): boolean => {
    const told = subscription && respond(subscription, catalog(content));
    if (told === undefined) return false;
    subscription = told.subscription;
    way.push(told.response);
    play.responses += 1;
    return true;
  };
  const request = (error?: string): boolean => {
    const before = subscription?.names;
    subscription = take(subscription, {
      node: envoyNode(),
      resourceNames: client.names,
      versionInfo: client.version,
      responseNonce: client.nonce,
      ...(error === undefined ? {} : { errorDetail: { message: error } }),
    }).subscription;
    const answered = answer();
    if (answered && before !== undefined && before.join() === subscription.names.join()) {
      play.idleAnswers += 1;
    }
    return answered;
  };
  request();
  function change({ name, to }: { name: string; to: number }): void {
    if (content[name] !== to) play.reasons += 1;
    content = { ...content, [name]: to };
    answer();
  }
  function want(names: string[]): void {
    if (names.join() !== client.names.join()) play.reasons += 1;
    client.names = names;
    request();
  }
  /** Takes the next response, and gives whether there was one. */
  function read(accepts: boolean): boolean {
    const response = way.shift();
    if (response === undefined) return false;
    client.nonce = response.nonce ?? "";
    client.received = texts(response);
    if (accepts) client.version = response.versionInfo ?? "";
    request(accepts ? undefined : "no");
    return true;
  }
  function expected(): string[] {
    const names = client.names.length === 0 ? NAMES : client.names;
    return names.map((name) => text(name, "spiffe", content[name] ?? NaN));
  }
  return play;
}
