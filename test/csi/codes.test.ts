import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ERROR_CODES, isSignetError } from "../../src/core/errors.ts";
import type { CsiDriver } from "../../src/csi/driver.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import {
  Node,
  NodePublishVolumeRequestSchema,
  VolumeCapability_AccessMode_Mode,
} from "../../src/rpc/gen/csi/v1/csi_pb.js";
import type { NodePublishVolumeRequest } from "../../src/rpc/gen/csi/v1/csi_pb.js";
import { DRIVER, startDriver } from "./driver-fixture.ts";
import { makeIdentity, makePod, makeSandbox, scriptedSource } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

const [INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION] = [3, 5, 6, 9];
const INFO = "csi.storage.k8s.io/";
const pod = makePod();

let sandbox: Sandbox;
let driver: CsiDriver;
let client: RpcClient;
let target: string;
beforeAll(async () => {
  sandbox = await makeSandbox();
  driver = await startDriver(sandbox, scriptedSource(await makeIdentity()));
  client = rpcClient(
    `unix:${join(sandbox.dir, "plugins", DRIVER, "csi.sock")}`,
    credentials.createInsecure(),
  );
  mkdirSync(join(sandbox.dir, "pods", pod.uid));
  target = join(sandbox.dir, "pods", pod.uid, "mount");
});
afterAll(async () => {
  client.close();
  await driver.stop();
  await sandbox.cleanUp();
});

function validPublish(): NodePublishVolumeRequest {
  const token = { signet: { token: "a token", expirationTimestamp: "2099-01-01T00:00:00Z" } };
  return create(NodePublishVolumeRequestSchema, {
    volumeId: "csi-1",
    targetPath: target,
    readonly: true,
    volumeCapability: {
      accessType: { case: "mount", value: {} },
      accessMode: { mode: VolumeCapability_AccessMode_Mode.SINGLE_NODE_WRITER },
    },
    volumeContext: {
      [`${INFO}ephemeral`]: "true",
      [`${INFO}pod.uid`]: pod.uid,
      [`${INFO}pod.name`]: pod.name,
      [`${INFO}pod.namespace`]: pod.namespace,
      [`${INFO}serviceAccount.name`]: pod.serviceAccount,
      [`${INFO}serviceAccount.tokens`]: JSON.stringify(token),
    },
  });
}

/** The gRPC code of a call's error, 0 when it worked. */
async function codeOf(call: Promise<unknown>): Promise<number> {
  try {
    await call;
    return 0;
  } catch (error) {
    if (!isSignetError(error)) throw error;
    return ERROR_CODES[error.code].grpc;
  }
}

type Change = (request: NodePublishVolumeRequest) => void;
const context =
  (key: string, value?: string): Change =>
  ({ volumeContext }) => {
    if (value === undefined) delete volumeContext[`${INFO}${key}`];
    else volumeContext[`${INFO}${key}`] = value;
  };

describe("NodePublishVolume", () => {
  test.each<[string, Change, number]>([
    ["no volume_id", (r) => (r.volumeId = ""), INVALID_ARGUMENT],
    ["a volume_id of 129 bytes", (r) => (r.volumeId = "x".repeat(129)), INVALID_ARGUMENT],
    ["a volume_id with a NUL", (r) => (r.volumeId = "a\0"), INVALID_ARGUMENT],
    ["no target_path", (r) => (r.targetPath = ""), INVALID_ARGUMENT],
    ["a relative target_path", (r) => (r.targetPath = "pods/x/mount"), INVALID_ARGUMENT],
    ["a target_path elsewhere", (r) => (r.targetPath = "/etc/mount"), INVALID_ARGUMENT],
    ["a target_path that climbs", (r) => (r.targetPath += "/../../x"), INVALID_ARGUMENT],
    ["a target_path of another pod", context("pod.uid", "other"), INVALID_ARGUMENT],
    ["no volume_capability", (r) => delete r.volumeCapability, INVALID_ARGUMENT],
    [
      "a block device",
      (r) => (r.volumeCapability!.accessType = { case: "block", value: {} as never }),
      INVALID_ARGUMENT,
    ],
    ["write access", (r) => (r.readonly = false), INVALID_ARGUMENT],
    ["a persistent volume", context("ephemeral", "false"), INVALID_ARGUMENT],
    ["no word of its kind", context("ephemeral"), INVALID_ARGUMENT],
    ["no pod UID", context("pod.uid"), INVALID_ARGUMENT],
    ["no pod name", context("pod.name"), INVALID_ARGUMENT],
    ["no namespace", context("pod.namespace"), INVALID_ARGUMENT],
    ["no service account", context("serviceAccount.name"), INVALID_ARGUMENT],
    ["no token", context("serviceAccount.tokens"), FAILED_PRECONDITION],
    [
      "an attribute that is not known",
      (r) => (r.volumeContext["signet.dev/x"] = ""),
      INVALID_ARGUMENT,
    ],
    [
      "a group that is none",
      (r) => (r.volumeContext["signet.dev/fs-group"] = "-1"),
      INVALID_ARGUMENT,
    ],
  ])(
    "with %s is refused by the specification's code, and mounts nothing",
    async (_, change, code) => {
      const request = validPublish();
      change(request);
      expect(await codeOf(client.unary(Node.method.nodePublishVolume, request))).toBe(code);
      expect(await sandbox.mountPoints()).toEqual([]);
    },
  );

  test("at another path, or for another volume at this path, is refused; repeated it is fine", async () => {
    const call = (change: Change): Promise<number> => {
      const request = validPublish();
      change(request);
      return codeOf(client.unary(Node.method.nodePublishVolume, request));
    };
    for (let time = 0; time < 3; time++) expect(await call(() => undefined)).toBe(0);
    expect(await call((r) => (r.targetPath += "2"))).toBe(FAILED_PRECONDITION);
    expect(await call((r) => (r.volumeId = "csi-2"))).toBe(ALREADY_EXISTS);
    expect(await sandbox.mountPoints()).toEqual([target]);
  });
});

describe("NodeGetVolumeStats and NodeGetVolumeHealth", () => {
  test.each<[string, { volumeId?: string; path?: string }, number, number]>([
    ["no volume_id", { volumeId: "" }, INVALID_ARGUMENT, INVALID_ARGUMENT],
    ["a volume_id of 129 bytes", { volumeId: "x".repeat(129) }, INVALID_ARGUMENT, INVALID_ARGUMENT],
    ["no path", { path: "" }, INVALID_ARGUMENT, 0],
    ["an unknown volume", { volumeId: "csi-9" }, NOT_FOUND, NOT_FOUND],
    ["another path", { path: "/elsewhere" }, NOT_FOUND, NOT_FOUND],
    ["what is published", {}, 0, 0],
  ])("of %s", async (_, change, stats, health) => {
    const { volumeId = "csi-1", path = target } = change;
    const statsCall = client.unary(Node.method.nodeGetVolumeStats, { volumeId, volumePath: path });
    expect(await codeOf(statsCall)).toBe(stats);
    const asked = { volumeId, volumePublishPath: path };
    expect(await codeOf(client.unary(Node.method.nodeGetVolumeHealth, asked))).toBe(health);
  });

  test("a volume that lost its file system is inaccessible", async () => {
    const ask = async () =>
      (await client.unary(Node.method.nodeGetVolumeHealth, { volumeId: "csi-1" })).volumeHealth;
    expect(await ask()).toMatchObject({ volumeId: "csi-1", healthStatuses: [] });
    await sandbox.mounter.unmount(target);
    expect((await ask())?.healthStatuses).toMatchObject([{ status: 2, reason: "NotMounted" }]);
  });
});

describe("NodeUnpublishVolume", () => {
  test.each<[string, { volumeId?: string; targetPath?: string }, number]>([
    ["no volume_id", { volumeId: "" }, INVALID_ARGUMENT],
    ["no target_path", { targetPath: "" }, INVALID_ARGUMENT],
    ["a target_path elsewhere", { targetPath: "/etc" }, INVALID_ARGUMENT],
    ["an unknown volume", { volumeId: "csi-9" }, 0],
    ["what is published", {}, 0],
    ["what is published no more", {}, 0],
  ])("of %s", async (_, change, code) => {
    const request = { volumeId: "csi-1", targetPath: target, ...change };
    if (change.volumeId === "csi-9") request.targetPath += "9";
    expect(await codeOf(client.unary(Node.method.nodeUnpublishVolume, request))).toBe(code);
  });
});
