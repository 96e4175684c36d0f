import { describe, expect, it } from "vitest";
import {
  POD_SELECTORS,
  compilePodSelector,
  mayReadImages,
} from "../../src/registration/pod-selectors.ts";
import { parseSelector } from "../../src/spiffe/selector.ts";
import { namespace, pod } from "./universe.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;

/** A pod that runs, of a namespace with labels. */
const POD = pod({
  labels: {
    app: "web",
    "app.kubernetes.io/name": "shop/web".replace("/", "-"),
    empty: "",
    constructor: "made",
  },
  owners: [
    { kind: "ReplicaSet", name: "web-abc", uid: "rs-uid", controller: true },
    { kind: "Widget", name: "w", uid: "w-uid" },
  ],
  spec: {
    containers: [
      { name: "web", image: "registry.example:5000/shop/web:1.2" },
      { name: "log", image: "log" },
    ],
    initContainers: [{ name: "init", image: "init:1" }],
  },
  status: {
    containerStatuses: [
      {
        image: "registry.example:5000/shop/web:1.2",
        imageID: `registry.example:5000/shop/web@${DIGEST}`,
      },
      { image: "docker.io/library/log:latest", imageID: DIGEST },
    ],
    initContainerStatuses: [
      { image: "docker.io/library/init:1", imageID: `docker.io/init@${DIGEST}` },
    ],
  },
});
const NAMESPACE = namespace("shop", { team: "a", "example.org/tier": "gold", toString: "x" });

/** Whether a selector is true of the pod; its problem where it never can be. */
function decide(text: string, facts = { pod: POD, namespace: NAMESPACE }): boolean | string {
  const compiled = compilePodSelector(parseSelector(text));
  return compiled.problem ?? compiled.test(facts);
}

describe("a selector of a pod", () => {
  it.each([
    "k8s:ns:shop",
    "k8s:sa:till",
    "k8s:node-name:node-1",
    "k8s:pod-uid:uid-web",
    "k8s:pod-name:web",
    "k8s:pod-label:app:web",
    "k8s:pod-label:app.kubernetes.io/name:shop-web",
    "k8s:pod-label:empty:",
    "k8s:pod-label:constructor:made",
    "k8s:pod-owner:ReplicaSet:web-abc",
    "k8s:pod-owner:Widget:w",
    "k8s:pod-owner-uid:ReplicaSet:rs-uid",
    "k8s:pod-image:registry.example:5000/shop/web:1.2",
    `k8s:pod-image:registry.example:5000/shop/web@${DIGEST}`,
    "k8s:pod-image:log",
    "k8s:pod-image:docker.io/library/log:latest",
    `k8s:pod-image:${DIGEST}`,
    "k8s:pod-image-count:2",
    "k8s:pod-init-image:init:1",
    "k8s:pod-init-image:docker.io/library/init:1",
    `k8s:pod-init-image:docker.io/init@${DIGEST}`,
    "k8s:pod-init-image-count:1",
    "k8s:ns-label:team:a",
    "k8s:ns-label:example.org/tier:gold",
    "k8s:ns-label:toString:x",
  ])("%s is true of the one it describes", (text) => {
    expect(decide(text)).toBe(true);
  });

  it.each([
    "k8s:ns:shops",
    "k8s:ns:shop:",
    "k8s:sa:Till",
    "k8s:node-name:node-2",
    "k8s:pod-uid:uid",
    "k8s:pod-name:web-1",
    "k8s:pod-label:app:",
    "k8s:pod-label:app:web:",
    "k8s:pod-label:empty: ",
    "k8s:pod-label:missing:",
    "k8s:pod-label:App:web",
    "k8s:pod-label:toString:function toString() { [native code] }",
    "k8s:pod-label:__proto__:[object Object]",
    "k8s:pod-label:app.kubernetes.io:name:shop-web",
    "k8s:pod-owner:ReplicaSet:web",
    "k8s:pod-owner:replicaset:web-abc",
    "k8s:pod-owner:ReplicaSet:rs-uid",
    "k8s:pod-owner:Deployment:web",
    "k8s:pod-owner-uid:ReplicaSet:web-abc",
    "k8s:pod-owner-uid:Widget:rs-uid",
    "k8s:pod-image:registry.example:5000/shop/web",
    "k8s:pod-image:init:1",
    "k8s:pod-image-count:1",
    "k8s:pod-image-count:3",
    "k8s:pod-init-image:log",
    "k8s:pod-init-image-count:0",
    "k8s:ns-label:team:b",
    "k8s:ns-label:hasOwnProperty:x",
    "k8s:ns-label:app:web",
  ])("%s is not true of another", (text) => {
    expect(decide(text)).toBe(false);
  });

  it("splits a label at the first colon after its name, so that a value may hold colons", () => {
    const odd = pod({ labels: { a: "b:c" } });
    const facts = { pod: odd, namespace: NAMESPACE };
    expect(decide("k8s:pod-label:a:b:c", facts)).toBe(true);
    expect(decide("k8s:pod-label:a:b", facts)).toBe(false);
  });

  it("is decided for a pod and a namespace that have nothing", () => {
    const bare = { metadata: { name: "bare", uid: "b" }, spec: {} };
    const facts = { pod: bare, namespace: { metadata: { name: "", uid: "n" } } };
    for (const name of POD_SELECTORS) {
      const value = name.endsWith("label") || name.includes("owner") ? "x:y" : "7";
      expect(decide(`k8s:${name}:${value}`, facts), name).toBe(false);
    }
    expect(decide("k8s:pod-init-image-count:0", facts)).toBe(true);
    expect(decide("k8s:pod-image-count:0", facts)).toBe(true);
  });

  it("about images holds by the spec's words before the first container runs", () => {
    const starting = pod({
      phase: "Pending",
      spec: {
        containers: [{ name: "web", image: "web:1" }],
        initContainers: [{ image: "init:1" }],
      },
    });
    const facts = { pod: starting, namespace: NAMESPACE };
    expect(decide("k8s:pod-image:web:1", facts)).toBe(true);
    expect(decide("k8s:pod-image-count:1", facts)).toBe(true);
    expect(decide("k8s:pod-init-image:init:1", facts)).toBe(true);
    expect(decide("k8s:pod-image:init:1", facts)).toBe(false);
  });

  it("about images passes over statuses without an image yet", () => {
    const waiting = pod({ status: { containerStatuses: [{ image: "", imageID: "" }] } });
    const facts = { pod: waiting, namespace: NAMESPACE };
    expect(decide("k8s:pod-image:x", facts)).toBe(false);
    expect(decide("k8s:pod-image-count:1", facts)).toBe(true);
  });
});

describe("a selector that no pod can be known to have is refused", () => {
  const known = POD_SELECTORS.join(", ");
  it.each([
    ["unix:uid:1000", 'selectors of type "unix" are not known; use "k8s"'],
    ["docker:label:a:b", 'selectors of type "docker" are not known; use "k8s"'],
    ["K8s:ns:shop", 'selectors of type "K8s" are not known; use "k8s"'],
    ["k8s_psat:cluster:demo", 'selectors of type "k8s_psat" are not known; use "k8s"'],
    [
      "k8s:container-name:web",
      '"k8s:container-name" cannot be decided: an identity belongs to the whole pod, not to one container',
    ],
    [
      "k8s:container-image:web",
      '"k8s:container-image" cannot be decided: an identity belongs to the whole pod, not to one container',
    ],
    ...["image-signature:verified", "image-signature-subject:a", "image-attestations:verified"].map(
      (text): [string, string] => [
        `k8s:${text}`,
        `"k8s:${text.split(":")[0]}" cannot be decided: signatures of images are not looked at; leave that to an admission policy`,
      ],
    ),
    ["k8s:pod-ip:10.0.0.1", `"k8s:pod-ip" is not a selector that is known; use one of ${known}`],
    ["k8s:NS:shop", `"k8s:NS" is not a selector that is known; use one of ${known}`],
    ["k8s::shop", `"k8s:" is not a selector that is known; use one of ${known}`],
    ["k8s:constructor:x", `"k8s:constructor" is not a selector that is known; use one of ${known}`],
    ["k8s:__proto__:x", `"k8s:__proto__" is not a selector that is known; use one of ${known}`],
  ])("%s: %s", (text, problem) => {
    expect(decide(text)).toBe(problem);
  });

  it.each(POD_SELECTORS)("k8s:%s without a value", (name) => {
    const problem = `"k8s:${name}" needs a value after it`;
    expect(decide(`k8s:${name}`)).toBe(problem);
    expect(decide(`k8s:${name}:`)).toBe(problem);
  });

  it.each([
    ["k8s:pod-label:app", '"k8s:pod-label" needs a key and a value: k8s:pod-label:<key>:<value>'],
    ["k8s:pod-label::x", '"k8s:pod-label" needs a key and a value: k8s:pod-label:<key>:<value>'],
    ["k8s:ns-label:team", '"k8s:ns-label" needs a key and a value: k8s:ns-label:<key>:<value>'],
    ["k8s:pod-owner:web", '"k8s:pod-owner" needs a kind and a name: k8s:pod-owner:<Kind>:<name>'],
    ["k8s:pod-owner:Job:", '"k8s:pod-owner" needs a kind and a name: k8s:pod-owner:<Kind>:<name>'],
    [
      "k8s:pod-owner-uid:1234",
      '"k8s:pod-owner-uid" needs a kind and a UID: k8s:pod-owner-uid:<Kind>:<uid>',
    ],
    ["k8s:pod-image-count:two", '"k8s:pod-image-count" needs a whole number'],
    ["k8s:pod-image-count:-1", '"k8s:pod-image-count" needs a whole number'],
    ["k8s:pod-init-image-count:01", '"k8s:pod-init-image-count" needs a whole number'],
  ])("%s, whose value is of no use", (text, problem) => {
    expect(decide(text)).toBe(problem);
  });
});

describe("whether a selector template may ask for images", () => {
  it.each([
    ["k8s:pod-image:web", true],
    ["k8s:pod-image-count:{{ 1 }}", true],
    ["k8s:pod-init-image:{{ .ClusterName }}", true],
    ["k8s:pod-init-image-count:1", true],
    ["k8s:ns:{{ .PodMeta.Namespace }}", false],
    ["k8s:pod-label:a:b", false],
    ["k8s:pod-name:{{ .PodMeta.Name }}", false],
    ["{{ .ClusterName }}", true],
    ["k8s:{{ .ClusterName }}:x", true],
    ["k8s:pod-{{ .ClusterName }}:x", true],
    ["k8s:unknown:x", true],
    ["k8s:constructor:x", true],
  ])("%s: %s", (template, may) => {
    expect(mayReadImages(template)).toBe(may);
  });

  it("is told of every compiled one", () => {
    const reading = POD_SELECTORS.filter((name) => {
      const value = name.endsWith("label") || name.includes("owner") ? "x:y" : "1";
      const compiled = compilePodSelector({ type: "k8s", value: `${name}:${value}` });
      return compiled.problem === undefined && compiled.readsImages;
    });
    expect(reading).toEqual(POD_SELECTORS.filter((name) => name.includes("image")));
  });
});
