import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { parsePublish, parseTarget, parseUnpublish } from "../../src/csi/request.ts";
import {
  NodePublishVolumeRequestSchema,
  NodeUnpublishVolumeRequestSchema,
  VolumeCapabilitySchema,
} from "../../src/rpc/gen/csi/v1/csi_pb.js";

const PODS = "/var/lib/kubelet/pods";
const CONTEXT = { podsDir: PODS, audience: "signet" };
const TARGET = `${PODS}/uid-1/volumes/kubernetes.io~csi/spiffe/mount`;
const TOKENS = "csi.storage.k8s.io/serviceAccount.tokens";
const tokens = (token: string, audience = "signet"): string =>
  JSON.stringify({ [audience]: { token, expirationTimestamp: "2030-01-01T00:00:00Z" } });

const volumeContext = {
  "csi.storage.k8s.io/pod.name": "web-0",
  "csi.storage.k8s.io/pod.namespace": "shop",
  "csi.storage.k8s.io/pod.uid": "uid-1",
  "csi.storage.k8s.io/serviceAccount.name": "web",
  "csi.storage.k8s.io/ephemeral": "true",
  [TOKENS]: tokens("from-context"),
};

type Init = MessageInitShape<typeof NodePublishVolumeRequestSchema>;
const mountWith = (group: string) =>
  create(VolumeCapabilitySchema, {
    accessType: { case: "mount", value: { volumeMountGroup: group } },
  });

function parse(change: Init = {}) {
  return parsePublish(
    create(NodePublishVolumeRequestSchema, {
      volumeId: "csi-1",
      targetPath: TARGET,
      volumeCapability: mountWith(""),
      readonly: true,
      volumeContext,
      ...change,
    }),
    CONTEXT,
  );
}

const withAttributes = (attributes: Record<string, string>): Init => ({
  volumeContext: { ...volumeContext, ...attributes },
});

test("a request of kubelet becomes a volume and a token", () => {
  expect(parse()).toEqual({
    volume: {
      id: "csi-1",
      target: TARGET,
      pod: { uid: "uid-1", name: "web-0", namespace: "shop", serviceAccount: "web" },
      gid: undefined,
      optional: false,
      jwtAudiences: [],
      keyType: "ec-p256",
      removal: "keep",
      attributes: {},
    },
    podToken: "from-context",
  });
});

test("a token among the secrets wins over one in the context", () => {
  expect(parse({ secrets: { [TOKENS]: tokens("from-secrets") } }).podToken).toBe("from-secrets");
});

const refused: [string, Init, RegExp][] = [
  ["no volume ID", { volumeId: "" }, /volume_id is missing/],
  ["a long volume ID", { volumeId: "x".repeat(129) }, /longer than 128 bytes/],
  ["a volume ID with a newline", { volumeId: "a\nb" }, /control characters/],
  ["no target", { targetPath: "" }, /target_path is missing/],
  ["block access", { volumeCapability: { accessType: { case: "block", value: {} } } }, /block/],
  ["a capability that says nothing", { volumeCapability: {} }, /volume_capability is missing/],
  ["a writable volume", { readonly: false }, /readOnly: true/],
  [
    "a persistent volume",
    withAttributes({ "csi.storage.k8s.io/ephemeral": "false" }),
    /inline \(ephemeral\)/,
  ],
  ["no pod info", withAttributes({ "csi.storage.k8s.io/pod.uid": "" }), /podInfoOnMount: true/],
  [
    "a pod UID that is a path",
    withAttributes({ "csi.storage.k8s.io/pod.uid": "../uid-1" }),
    /not a name/,
  ],
  [
    "another pod's target",
    withAttributes({ "csi.storage.k8s.io/pod.uid": "uid-2" }),
    /not of the pod with UID uid-2/,
  ],
  [
    "an unknown attribute of ours",
    withAttributes({ "signet.dev/optinal": "true" }),
    /"signet.dev\/optinal" is unknown; known are signet.dev\/file-mode, .*signet.dev\/optional/,
  ],
  ["a flag that is none", withAttributes({ "signet.dev/optional": "yes" }), /"true" or "false"/],
  ["a group that is none", withAttributes({ "signet.dev/fs-group": "root" }), /group ID/],
  ["an empty group", withAttributes({ "signet.dev/fs-group": "" }), /group ID/],
  ["chown's wildcard", withAttributes({ "signet.dev/fs-group": "4294967295" }), /group ID/],
  ["a bad mount group", { volumeCapability: mountWith("-1") }, /volume mount group/],
];

test.each(refused)("refuses %s as an invalid argument", (_, change, message) => {
  expect(() => parse(change)).toThrow(
    expect.objectContaining({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(message) as string,
    }),
  );
});

test("refuses a request without capability", () => {
  const request = create(NodePublishVolumeRequestSchema, {
    volumeId: "csi-1",
    targetPath: TARGET,
    readonly: true,
    volumeContext,
  });
  expect(() => parsePublish(request, CONTEXT)).toThrow(/volume_capability is missing/);
});

describe("attributes", () => {
  test("kubelet's mount group is the group", () => {
    expect(parse({ volumeCapability: mountWith("2000") }).volume.gid).toBe(2000);
    expect(parse({ volumeCapability: mountWith("0") }).volume.gid).toBe(0);
  });

  test.each(["signet.dev/fs-group", "spiffe.csi.cert-manager.io/fs-group"])(
    "%s wins over kubelet's mount group",
    (key) => {
      const change = { ...withAttributes({ [key]: "3000" }), volumeCapability: mountWith("2000") };
      expect(parse(change).volume.gid).toBe(3000);
    },
  );

  test("a volume can be optional", () => {
    expect(parse(withAttributes({ "signet.dev/optional": "true" })).volume.optional).toBe(true);
    expect(parse(withAttributes({ "signet.dev/optional": "false" })).volume.optional).toBe(false);
  });

  test("decide over key, tokens and end, and are kept in the pod's words", () => {
    const attributes = {
      "signet.dev/jwt-audiences": "x=vault,sts",
      "signet.dev/key-type": "ec-p384",
      "signet.dev/on-removal": "remove",
      "spiffe.csi.cert-manager.io/fs-group": "5",
    };
    expect(parse(withAttributes({ ...attributes, "example.com/x": "y" })).volume).toMatchObject({
      attributes,
      gid: 5,
      jwtAudiences: ["vault", "sts"],
      keyType: "ec-p384",
      removal: "remove",
    });
  });

  test("win over what the agent does when an identity goes", () => {
    const removalOf = (attributes: Record<string, string>) => {
      const request = create(NodePublishVolumeRequestSchema, {
        volumeId: "csi-1",
        targetPath: TARGET,
        volumeCapability: mountWith(""),
        readonly: true,
        volumeContext: { ...volumeContext, ...attributes },
      });
      return parsePublish(request, { ...CONTEXT, removal: "remove" }).volume.removal;
    };
    expect(removalOf({})).toBe("remove");
    expect(removalOf({ "signet.dev/on-removal": "keep" })).toBe("keep");
  });

  test("attributes of other drivers are ignored", () => {
    expect(() => parse(withAttributes({ "example.com/anything": "x" }))).not.toThrow();
  });
});

function thrownBy(attempt: () => unknown): unknown {
  try {
    return attempt();
  } catch (error) {
    return error;
  }
}

function parseUnpublishOf(volumeId: string, targetPath: string) {
  return parseUnpublish(
    create(NodeUnpublishVolumeRequestSchema, { volumeId, targetPath }),
    CONTEXT,
  );
}

describe("tokens", () => {
  const refusedTokens: [string, string | undefined, RegExp][] = [
    ["none", undefined, /sent no token/],
    ["no JSON", "SECRET-TOKEN", /not JSON/],
    ["an array", '["SECRET-TOKEN"]', /not a JSON object/],
    ["another audience", tokens("SECRET-TOKEN", "vault"), /audiences \[vault\] only/],
    ["no text", '{"signet":{"token":7}}', /audiences \[signet\] only/],
    ["a name of Object.prototype", tokens("SECRET-TOKEN", "x"), /audiences \[x\]/],
    ["far too much", tokens("SECRET-TOKEN".repeat(10_000)), /too long/],
  ];
  test.each(refusedTokens)("refuses %s, says what to set and repeats nothing", (_, text, why) => {
    const context: Record<string, string> = { ...volumeContext };
    if (text === undefined) delete context[TOKENS];
    else context[TOKENS] = text;
    const attempt = (): unknown => parse({ volumeContext: context });
    expect(attempt).toThrow(why);
    expect(attempt).toThrow(/tokenRequests of the CSIDriver must name the audience "signet"/);
    const error = thrownBy(attempt);
    expect(isSignetError(error, "FAILED_PRECONDITION")).toBe(true);
    const { message, stack, cause } = error as Error;
    expect(`${message}${stack}${JSON.stringify(cause)}`).not.toContain("SECRET-TOKEN");
  });

  test("an audience called like a method of objects is not there", () => {
    const request = create(NodePublishVolumeRequestSchema, {
      volumeId: "csi-1",
      targetPath: TARGET,
      volumeCapability: mountWith(""),
      readonly: true,
      volumeContext,
    });
    expect(() => parsePublish(request, { ...CONTEXT, audience: "constructor" })).toThrow(
      /audiences \[signet\] only/,
    );
  });
});

describe("targets", () => {
  test.each([
    "relative/path",
    PODS,
    `${PODS}/`,
    `${PODS}/uid-1`,
    `${PODS}/uid-1/../../etc`,
    `${PODS}/uid-1//mount`,
    `${PODS}/uid-1/./mount`,
    `${PODS}/uid-1/mount/`,
    `${PODS}x/uid-1/mount`,
    "/etc/passwd",
    `${PODS}/uid-1/a\u0000b`,
    `${PODS}/uid-1/${"x".repeat(4096)}`,
  ])("refuses %j", (path) => {
    expect(() => parseTarget(path, PODS)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  test("no accepted target leaves the folder of pods", () => {
    const step = fc.constantFrom("..", ".", "", "a", "mount", "uid-1", "..data");
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const path = `${PODS}/${steps.join("/")}`;
        let accepted: string | undefined;
        try {
          accepted = parseTarget(path, PODS);
        } catch {
          return;
        }
        const { pathname } = new URL(`file://${accepted}`);
        expect(pathname).toBe(path);
        expect(pathname.startsWith(`${PODS}/`)).toBe(true);
      }),
    );
  });

  test("an unpublish needs an ID and a target", () => {
    expect(parseUnpublishOf("csi-1", TARGET)).toEqual({ id: "csi-1", target: TARGET });
    expect(() => parseUnpublishOf("", TARGET)).toThrow(/volume_id is missing/);
    expect(() => parseUnpublishOf("csi-1", "")).toThrow(/target_path is missing/);
    expect(() => parseUnpublishOf("csi-1", "/etc")).toThrow(/not a path below/);
  });
});
