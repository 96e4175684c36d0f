import { beforeAll, describe, expect, it } from "vitest";
import { checkFederatedTrustDomain } from "../../src/registration/federation.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { jwtKey, makeAuthority, x509Key } from "../spiffe/certificates.ts";
import type { TestAuthority } from "../spiffe/certificates.ts";
import { NEW, OLD, start } from "./harness.ts";
import { alias, federated, node, pod, rule, staticEntry } from "./universe.ts";

const KIND = "ClusterFederatedTrustDomain";
const OWN = parseTrustDomain("example.org");
const BUNDLE = JSON.stringify({ keys: [] });

let authority: TestAuthority;
beforeAll(async () => {
  authority = await makeAuthority();
});

const messages = (spec: object) =>
  checkFederatedTrustDomain(federated({ ...spec }).spec, OWN).map(({ message }) => message);
const web = { type: "https_web" };
const byId = { type: "https_spiffe", endpointSPIFFEID: "spiffe://partner.example/server" };

describe("the bundle endpoint's URL (row 13: SPIRE's six cases)", () => {
  const field = "spec.bundleEndpointURL: ";
  it.each<[string, string | undefined]>([
    ["", "bundle endpoint URL is missing"],
    ["http://example.org", 'bundle endpoint URL scheme must be https: "http://example.org"'],
    ["https:///bundle", 'bundle endpoint URL host must be specified: "https:///bundle"'],
    ["https://user:pw@example.org", "bundle endpoint URL cannot contain userinfo"],
    ["https://example.org/bundle", undefined],
    ["https://example.org:8443/bundle", undefined],
  ])("%j: %s", (bundleEndpointURL, problem) => {
    expect(messages({ bundleEndpointURL })).toEqual(problem ? [field + problem] : []);
  });

  it.each<[string, string | undefined]>([
    ["example.org", "scheme must be https"],
    ["//example.org", "scheme must be https"],
    ["httpss://example.org", "scheme must be https"],
    [" https://example.org", "scheme must be https"],
    ["javascript:alert(1)", "scheme must be https"],
    ["https:", "host must be specified"],
    ["https:example.org", "host must be specified"],
    ["https:/example.org", "host must be specified"],
    ["https://", "host must be specified"],
    ["https://?x", "host must be specified"],
    ["https://#x", "host must be specified"],
    ["https://:8443", "host must be specified"],
    ["https://exa mple.org", "host must be specified"],
    ["https://example.org:port", "host must be specified"],
    ["https://@example.org", "cannot contain userinfo"],
    ["https://user@example.org", "cannot contain userinfo"],
    ["https://:pw@example.org", "cannot contain userinfo"],
    ["https://example.org\\@evil.example", "cannot contain userinfo"],
    ["https://example.org/@path", undefined],
    ["https://example.org?user@x", undefined],
    ["https://example.org#user@x", undefined],
    ["HTTPS://example.org", undefined],
    ["https://[fd00::1]:8443/x", undefined],
    ["https://10.0.0.1", undefined],
  ])("%j: %s", (bundleEndpointURL, problem) => {
    const found = messages({ bundleEndpointURL });
    expect(found).toHaveLength(problem === undefined ? 0 : 1);
    expect(found.join()).toContain(problem ?? "");
  });

  it("is shown shortened when it is long", () => {
    const [message = ""] = messages({ bundleEndpointURL: `http://${"x".repeat(100_000)}` });
    expect(message.length).toBeLessThan(300);
  });
});

describe("the bundle endpoint's profile", () => {
  const field = "spec.bundleEndpointProfile.endpointSPIFFEID";
  it.each<[object, string[]]>([
    [web, []],
    [{ ...web, endpointSPIFFEID: "" }, []],
    [{ ...byId, ...web }, [`${field}: is for type https_spiffe only; leave it out for https_web`]],
    [byId, []],
    [
      { ...byId, endpointSPIFFEID: "" },
      [`${field}: is needed for type https_spiffe: the SPIFFE ID that the endpoint shows`],
    ],
    [
      { type: "https_spiffe" },
      [`${field}: is needed for type https_spiffe: the SPIFFE ID that the endpoint shows`],
    ],
    [
      { ...byId, endpointSPIFFEID: "partner.example" },
      [`${field}: SPIFFE ID must begin with "spiffe://": "partner.example"`],
    ],
    [{ ...byId, endpointSPIFFEID: "spiffe://elsewhere.example/server" }, []],
    [{ ...byId, endpointSPIFFEID: "spiffe://partner.example" }, []],
  ])("%j: %j", (bundleEndpointProfile, problems) => {
    expect(messages({ bundleEndpointProfile })).toEqual(problems);
  });

  it.each<[object, string]>([
    [{ bundleEndpointProfile: { type: "https_foo" } }, "spec.bundleEndpointProfile.type: "],
    [{ bundleEndpointProfile: {} }, "spec.bundleEndpointProfile.type: "],
    [{ bundleEndpointProfile: undefined }, "spec.bundleEndpointProfile: "],
    [{ bundleEndpointURL: undefined }, "spec.bundleEndpointURL: "],
    [{ trustDomain: undefined }, "spec.trustDomain: "],
    [{ trustDomain: 5 }, "spec.trustDomain: "],
    [{ trustDomainBundle: {} }, "spec.trustDomainBundle: "],
  ])("and the rest must have their form: %j", (spec, message) => {
    const problems = checkFederatedTrustDomain(federated({ ...spec }).spec, OWN);
    expect(problems).toMatchObject([{ reason: "InvalidSpec", field: message.slice(0, -2) }]);
    expect(problems[0]?.message.startsWith(message)).toBe(true);
  });
});

describe("the trust domain of a federation", () => {
  it.each([
    ["", "spec.trustDomain: trust domain is missing"],
    ["Partner", "spec.trustDomain: trust domain may hold only"],
    ["spiffe://partner.example", "spec.trustDomain: trust domain may hold only"],
    ["a".repeat(256), "spec.trustDomain: trust domain is longer than 255 bytes"],
    [
      "example.org",
      'spec.trustDomain: "example.org" is the operator\'s own trust domain, which federates with others only',
    ],
  ])("is not %j", (trustDomain, message) => {
    const problems = checkFederatedTrustDomain(federated({ trustDomain }).spec, OWN);
    expect(problems).toMatchObject([{ reason: "InvalidTrustDomain", field: "spec.trustDomain" }]);
    expect(problems[0]?.message.startsWith(message)).toBe(true);
  });

  it("is told with all that is wrong beside it", () => {
    const spec = {
      trustDomain: "X",
      bundleEndpointURL: "http://x",
      bundleEndpointProfile: { type: "https_spiffe" },
      trustDomainBundle: "no JSON, which is only looked at for a valid trust domain",
    };
    const problems = checkFederatedTrustDomain(spec, OWN);
    expect(problems.map(({ reason }) => reason)).toEqual([
      "InvalidTrustDomain",
      "InvalidUrl",
      "InvalidSpec",
    ]);
  });
});

describe("the bundle in a federation's spec", () => {
  const problemsOf = (trustDomainBundle: string) => messages({ trustDomainBundle });

  it("may be missing, empty or good", () => {
    const keys = [x509Key(authority), jwtKey(authority)];
    expect(problemsOf("")).toEqual([]);
    expect(problemsOf(JSON.stringify({ keys }))).toEqual([]);
    expect(problemsOf('{"keys":[],"spiffe_sequence":9007199254740993}')).toEqual([]);
    expect(problemsOf(JSON.stringify({ keys: [{ kty: "AKP" }, ...keys] }))).toEqual([]);
  });

  it.each([
    ["no JSON", "{", /^spec\.trustDomainBundle: the bundle cannot be used: it is not JSON/],
    ["no keys", "{}", /"keys" must be an array of JWKs$/],
    [
      "an SVID without a certificate",
      '{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AA=="]}]}',
      /keys\[0\]\.x5c\[0\]/,
    ],
    [
      "a JWT key without ID",
      '{"keys":[{"kty":"RSA","use":"jwt-svid"}]}',
      /keys\[0\]\.kid is missing/,
    ],
    [
      "a JWT key that is none",
      '{"keys":[{"kty":"RSA","use":"jwt-svid","kid":"a"}]}',
      /keys\[0\] is not a public key/,
    ],
  ])("is refused when it has %s (row 12)", (_what, text, problem) => {
    expect(problemsOf(text)).toEqual([expect.stringMatching(problem)]);
  });

  it("is refused when it is too long to be one", () => {
    expect(problemsOf(" ".repeat(1_000_001))).toEqual([
      "spec.trustDomainBundle: longer than 1000000 characters",
    ]);
  });
});

describe("the status of a ClusterFederatedTrustDomain", () => {
  it("is ready with a bundle in the spec", () => {
    const { index, federation, changes } = start();
    index.applyResource(KIND, federated({ trustDomainBundle: BUNDLE, generation: 3 }));
    expect(federation("partner")).toEqual({
      kind: KIND,
      name: "partner",
      observedGeneration: 3,
      ready: true,
      reason: "BundleFromSpec",
      message: "The bundle is the one in spec.trustDomainBundle; the endpoint is not asked yet.",
    });
    expect(changes).toEqual([
      { pods: new Map(), rules: new Set(["uid-partner"]), bundles: new Set(["partner.example"]) },
    ]);
    index.applyResource(KIND, federated({ trustDomainBundle: BUNDLE, generation: 3 }));
    expect(changes, "nothing new").toHaveLength(1);
  });

  it("is not ready without one, as endpoints are not asked", () => {
    const { index, federation } = start();
    index.applyResource(KIND, federated());
    expect(federation("partner")).toMatchObject({
      ready: false,
      reason: "BundleNotFetched",
      message:
        "There is no bundle: this version does not ask bundle endpoints; put the bundle into spec.trustDomainBundle.",
    });
  });

  it("follows edits of trustDomainBundle (on purpose other than SPIRE)", () => {
    const { index, federation } = start();
    index.applyResource(KIND, federated());
    index.applyResource(KIND, federated({ generation: 2, trustDomainBundle: BUNDLE }));
    expect(federation("partner")).toMatchObject({ ready: true, observedGeneration: 2 });
    index.applyResource(KIND, federated({ generation: 3, trustDomainBundle: "{" }));
    expect(federation("partner")).toMatchObject({ ready: false, reason: "InvalidBundle" });
    index.applyResource(KIND, federated({ generation: 4 }));
    expect(federation("partner")).toMatchObject({ ready: false, reason: "BundleNotFetched" });
  });

  it("names what is wrong, as the check does", () => {
    const { index, federation } = start();
    const object = federated({ bundleEndpointURL: "", trustDomainBundle: "[]" });
    index.applyResource(KIND, object);
    expect(federation("partner")).toMatchObject({
      ready: false,
      reason: "InvalidUrl",
      message:
        "spec.bundleEndpointURL: bundle endpoint URL is missing; and 1 more in spec.trustDomainBundle",
    });
    expect(index.check(KIND, object)).toHaveLength(2);
  });

  it("is none for objects of another class", () => {
    const { index, federation, changes, status } = start({ className: "mine" });
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ className: "mine", federatesWith: ["partner.example"] }),
    );
    index.applyResource(KIND, federated({ className: "theirs", trustDomainBundle: BUNDLE }));
    expect(federation("partner")).toBeUndefined();
    expect(index.resourceUids(KIND)).toEqual(["uid-partner"]);
    expect(status("all")?.missingBundles).toEqual(["partner.example"]);
    changes.length = 0;
    index.applyResource(KIND, federated({ className: "mine", trustDomainBundle: BUNDLE }));
    expect(federation("partner")?.ready).toBe(true);
    expect(changes.flatMap(({ rules }) => [...rules]).toSorted()).toEqual([
      "uid-all",
      "uid-partner",
    ]);
    index.applyResource(KIND, federated({ className: "theirs", trustDomainBundle: BUNDLE }));
    expect(federation("partner")).toBeUndefined();
    expect(status("all")?.missingBundles).toEqual(["partner.example"]);
  });
});

describe("several objects for one trust domain (row 9)", () => {
  it("the oldest counts, and when it goes the next", () => {
    const { index, federation, changes } = start();
    index.applyResource(
      KIND,
      federated({ name: "young", created: NEW, trustDomainBundle: BUNDLE }),
    );
    expect(federation("young")?.ready).toBe(true);
    index.applyResource(KIND, federated({ name: "old", created: OLD }));
    expect(federation("old")).toMatchObject({ ready: false, reason: "BundleNotFetched" });
    expect(federation("young")).toMatchObject({
      ready: false,
      reason: "Duplicate",
      message:
        'ClusterFederatedTrustDomain old is older and already federates with "partner.example"; delete one of them',
    });
    changes.length = 0;
    index.removeResource(KIND, "uid-old");
    expect(federation("young")).toMatchObject({ ready: true, reason: "BundleFromSpec" });
    expect(federation("old")).toBeUndefined();
    expect(changes.map(({ rules }) => [...rules].toSorted())).toEqual([["uid-old", "uid-young"]]);
  });

  it.each([
    ["the smaller UID at the same age", { uid: "uid-a" }, { uid: "uid-b" }],
    [
      "one that stays before one that leaves, at the same age",
      { uid: "uid-b" },
      { uid: "uid-a", deleted: NEW },
    ],
  ])("counts by %s", (_what, winner, loser) => {
    const { index } = start();
    index.applyResource(KIND, federated({ name: "loser", ...loser }));
    index.applyResource(KIND, federated({ name: "winner", ...winner }));
    expect(index.statusOf(loser.uid)?.reason).toBe("Duplicate");
    expect(index.statusOf(winner.uid)?.reason).toBe("BundleNotFetched");
  });

  it("does not count one that is invalid or of another trust domain", () => {
    const { index, federation } = start();
    index.applyResource(KIND, federated({ name: "broken", created: OLD, bundleEndpointURL: "x" }));
    index.applyResource(
      KIND,
      federated({ name: "other", created: OLD, trustDomain: "other.example" }),
    );
    index.applyResource(KIND, federated({ name: "good", created: NEW, trustDomainBundle: BUNDLE }));
    expect(federation("good")?.ready).toBe(true);
    expect(federation("broken")?.reason).toBe("InvalidUrl");
    index.applyResource(KIND, federated({ name: "broken", created: OLD }));
    expect(federation("good")?.reason).toBe("Duplicate");
    index.applyResource(
      KIND,
      federated({ name: "broken", created: OLD, trustDomain: "third.example" }),
    );
    expect(federation("good")?.ready).toBe(true);
  });

  it("follows a replaced list", () => {
    const { index, federation, changes } = start();
    index.replaceResources(KIND, [federated({ name: "a" }), federated({ name: "b" })]);
    expect(federation("b")?.reason).toBe("Duplicate");
    changes.length = 0;
    index.replaceResources(KIND, [federated({ name: "b" })]);
    expect(federation("a")).toBeUndefined();
    expect(federation("b")?.reason).toBe("BundleNotFetched");
    expect(changes.map(({ rules }) => [...rules].toSorted())).toEqual([["uid-a", "uid-b"]]);
    expect(index.resourceUids(KIND)).toEqual(["uid-b"]);
  });
});

describe("what rules federate with", () => {
  it("is said to be missing without a bundle, while entries are given all the same", () => {
    const { index, ids, status, changes } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ federatesWith: ["b.example", "partner.example"] }),
    );
    index.applyResource("ClusterStaticEntry", staticEntry({ federatesWith: ["partner.example"] }));
    index.applyResource("ClusterStaticEntry", alias({ federatesWith: ["partner.example"] }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "alone", fallback: true }));
    expect(ids()).toHaveLength(2);
    expect(status("all")).toMatchObject({
      ready: true,
      missingBundles: ["b.example", "partner.example"],
    });
    expect(status("alone")).not.toHaveProperty("missingBundles");
    changes.length = 0;
    index.applyResource(KIND, federated({ trustDomainBundle: BUNDLE }));
    expect(status("all")?.missingBundles).toEqual(["b.example"]);
    expect(status("static")?.missingBundles).toEqual([]);
    expect(status("alias")?.missingBundles).toEqual([]);
    expect(changes).toEqual([
      {
        pods: new Map(),
        rules: new Set(["uid-all", "uid-static", "uid-alias", "uid-partner"]),
        bundles: new Set(["partner.example"]),
      },
    ]);
  });

  it("counts the winner's bundle alone", () => {
    const { index, status } = start();
    index.applyResource("ClusterSPIFFEID", rule({ federatesWith: ["partner.example"] }));
    const missing = () => status("all")?.missingBundles;
    index.applyResource(
      KIND,
      federated({ name: "young", created: NEW, trustDomainBundle: BUNDLE }),
    );
    expect(missing()).toEqual([]);
    index.applyResource(KIND, federated({ name: "old", created: OLD }));
    expect(missing(), "the older object has none").toEqual(["partner.example"]);
    index.removeResource(KIND, "uid-old");
    expect(missing()).toEqual([]);
    index.applyResource(KIND, federated({ name: "young", trustDomainBundle: "{}" }));
    expect(missing(), "an invalid bundle is none").toEqual(["partner.example"]);
  });

  it("is not missing when it is the own trust domain", () => {
    const { index, status } = start();
    index.applyResource("ClusterSPIFFEID", rule({ federatesWith: ["example.org", "b.example"] }));
    expect(status("all")?.missingBundles).toEqual(["b.example"]);
  });

  it("changes no rule's status when the objects do, and bundles do not", () => {
    const { index, changes } = start();
    index.applyNode(node());
    index.applyResource("ClusterSPIFFEID", rule({ federatesWith: ["partner.example"] }));
    index.applyResource(KIND, federated({ trustDomainBundle: BUNDLE }));
    changes.length = 0;
    index.applyResource(KIND, federated({ generation: 2, trustDomainBundle: BUNDLE }));
    expect(changes).toEqual([
      { pods: new Map(), rules: new Set(["uid-partner"]), bundles: new Set() },
    ]);
  });
});

describe("foreign bundles", () => {
  const PARTNER = parseTrustDomain("partner.example");
  const bundleWith = (kid: string, sequence = 1): string =>
    JSON.stringify({
      keys: [x509Key(authority), jwtKey(authority, kid)],
      spiffe_sequence: sequence,
    });

  it("are read from the objects' specs", () => {
    const { index } = start();
    expect(index.foreignBundles().size).toBe(0);
    index.applyResource(KIND, federated({ trustDomainBundle: bundleWith("a", 7) }));
    index.applyResource(KIND, federated({ name: "bare", trustDomain: "bare.example" }));
    expect([...index.foreignBundles().keys()]).toEqual([PARTNER]);
    expect(index.foreignBundles().get(PARTNER)).toEqual({
      trustDomain: PARTNER,
      x509Authorities: [authority.der],
      jwtAuthorities: [{ kid: "a", ...authority.jwk }],
      sequence: 7n,
      refreshHint: undefined,
    });
  });

  it("are told when they come, change and go, and not when nothing of them differs", () => {
    const { index, changes } = start();
    const told = (act: () => void): string[] => {
      changes.length = 0;
      act();
      return changes.flatMap(({ bundles }) => [...bundles]);
    };
    const apply = (spec: Parameters<typeof federated>[0]) => () =>
      index.applyResource(KIND, federated(spec));
    expect(told(apply({ trustDomainBundle: bundleWith("a") }))).toEqual([PARTNER]);
    expect(told(apply({ generation: 2, trustDomainBundle: bundleWith("a") }))).toEqual([]);
    expect(told(apply({ trustDomainBundle: bundleWith("b") }))).toEqual([PARTNER]);
    expect(told(apply({ trustDomainBundle: "{" }))).toEqual([PARTNER]);
    expect(index.foreignBundles().size).toBe(0);
    expect(told(apply({ trustDomainBundle: bundleWith("b") }))).toEqual([PARTNER]);
    expect(told(() => index.removeResource(KIND, "uid-partner"))).toEqual([PARTNER]);
    expect(told(() => index.removeResource(KIND, "uid-partner"))).toEqual([]);
  });

  it("keep the same object while nothing of them differs", () => {
    const { index } = start();
    index.applyResource(KIND, federated({ trustDomainBundle: bundleWith("a") }));
    const before = index.foreignBundles().get(PARTNER);
    index.applyResource(KIND, federated({ generation: 2, trustDomainBundle: bundleWith("a") }));
    expect(index.foreignBundles().get(PARTNER)).toBe(before);
  });

  it("are those of the oldest object for a trust domain", () => {
    const { index } = start();
    const kids = () =>
      index
        .foreignBundles()
        .get(PARTNER)
        ?.jwtAuthorities.map(({ kid }) => kid);
    index.applyResource(
      KIND,
      federated({ name: "young", created: NEW, trustDomainBundle: bundleWith("young") }),
    );
    expect(kids()).toEqual(["young"]);
    index.applyResource(
      KIND,
      federated({ name: "old", created: OLD, trustDomainBundle: bundleWith("old") }),
    );
    expect(kids()).toEqual(["old"]);
    index.removeResource(KIND, "uid-old");
    expect(kids()).toEqual(["young"]);
  });
});
