import { createHash } from "node:crypto";
import { access, mkdir, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { ERROR_CODES, isSignetError, toSignetError } from "../../src/core/errors.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { CallOptions, RpcClient } from "../../src/rpc/client.ts";
import {
  Identity,
  Node,
  VolumeCapability_AccessMode_Mode,
} from "../../src/rpc/gen/csi/v1/csi_pb.js";
import { Registration } from "../../src/rpc/gen/pluginregistration/v1/registration_pb.js";

/** The parts of a pod that kubelet tells a CSI driver. */
export interface FakePod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface MountOptions extends CallOptions {
  readonly volume?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly fsGroup?: string;
  readonly readonly?: boolean;
  /** Tokens by audience. */
  readonly tokens?: Readonly<Record<string, string>>;
  /** Where the tokens travel: CSIDriver serviceAccountTokenInSecrets. */
  readonly tokensIn?: "secrets" | "context";
}

/** kubelet as a CSI driver sees it: it dials the driver's real sockets, in kubelet's order. */
export interface FakeKubelet {
  readonly podsDir: string;
  /** Waits for the driver's registration socket, then registers it as kubelet does. */
  register(driver: string): Promise<RegisteredDriver>;
  /** Asks who listens, then says that it does not want them. */
  refuse(driver: string, error: string): Promise<void>;
  /** SetUpAt: makes the parent folder and vol_data.json, and calls NodePublishVolume. */
  mount(pod: FakePod, options?: MountOptions): Promise<void>;
  /** TearDownAt: calls NodeUnpublishVolume, and removes its own files afterwards. */
  unmount(pod: FakePod, options?: { volume?: string }): Promise<void>;
  stats(pod: FakePod, volume?: string): Promise<{ total: bigint; used: bigint; unit: number }[]>;
  target(pod: FakePod, volume?: string): string;
  volumeId(pod: FakePod, volume?: string): string;
  close(): void;
}

export interface RegisteredDriver {
  readonly type: string;
  readonly name: string;
  readonly endpoint: string;
  readonly versions: readonly string[];
  readonly nodeId: string;
  readonly vendorVersion: string;
  /** Numbers of NodeServiceCapability.RPC.Type. */
  readonly capabilities: readonly number[];
}

const POD_INFO = "csi.storage.k8s.io/";
const DEFAULT_VOLUME = "spiffe";
const CALL_TIMEOUT_MS = 120_000;
const RETRIED = new Set<number>([1, 4, 8, 10, 14]);

/** Makes a kubelet whose root folder is `kubeletDir`. */
export function fakeKubelet(kubeletDir: string): FakeKubelet {
  const podsDir = join(kubeletDir, "pods");
  const clients: RpcClient[] = [];
  const mounted = new Set<string>();
  let csi: RpcClient | undefined;
  const dial = (path: string, authority?: string): RpcClient => {
    const options = authority === undefined ? {} : { "grpc.default_authority": authority };
    const client = rpcClient(`unix:${path}`, credentials.createInsecure(), options);
    clients.push(client);
    return client;
  };
  const driver = (): RpcClient => {
    if (csi === undefined) throw new Error("no driver is registered");
    return csi;
  };
  const dialRegistration = async (name: string): Promise<RpcClient> => {
    const socket = join(kubeletDir, "plugins_registry", `${name}-reg.sock`);
    await until(() => exists(socket));
    return dial(socket, encodeURIComponent(socket));
  };
  const target = (pod: FakePod, volume = DEFAULT_VOLUME): string =>
    join(podsDir, pod.uid, "volumes", "kubernetes.io~csi", volume, "mount");
  return {
    podsDir,
    target,
    volumeId,
    async register(name) {
      const registration = await dialRegistration(name);
      const deadline = Date.now() + CALL_TIMEOUT_MS;
      const info = await registration.unary(Registration.method.getInfo, {}, { deadline });
      csi = dial(info.endpoint);
      const node = await csi.unary(Node.method.nodeGetInfo, {}, { deadline });
      const plugin = await csi.unary(Identity.method.getPluginInfo, {}, { deadline });
      const { capabilities } = await csi.unary(Node.method.nodeGetCapabilities, {}, { deadline });
      await registration.unary(Registration.method.notifyRegistrationStatus, {
        pluginRegistered: true,
      });
      return {
        type: info.type,
        name: info.name,
        endpoint: info.endpoint,
        versions: info.supportedVersions,
        nodeId: node.nodeId,
        vendorVersion: plugin.vendorVersion,
        capabilities: capabilities.map(({ type }) => type.value?.type ?? 0),
      };
    },
    async refuse(name, error) {
      const registration = await dialRegistration(name);
      await registration.unary(Registration.method.getInfo, {});
      await registration.unary(Registration.method.notifyRegistrationStatus, {
        pluginRegistered: false,
        error,
      });
    },
    async mount(pod, options = {}) {
      const path = target(pod, options.volume);
      const id = volumeId(pod, options.volume);
      await mkdir(dirname(path), { recursive: true, mode: 0o750 });
      await writeFile(
        join(dirname(path), "vol_data.json"),
        JSON.stringify({ volumeHandle: id, volumeLifecycleMode: "Ephemeral" }),
      );
      try {
        await driver().unary(
          Node.method.nodePublishVolume,
          { volumeId: id, targetPath: path, ...publishFields(pod, options) },
          { deadline: Date.now() + CALL_TIMEOUT_MS, ...options },
        );
        mounted.add(path);
      } catch (error) {
        if (isFinal(error) && !mounted.has(path)) await forget(path);
        throw error;
      }
    },
    async unmount(pod, { volume } = {}) {
      const path = target(pod, volume);
      await driver().unary(
        Node.method.nodeUnpublishVolume,
        { volumeId: volumeId(pod, volume), targetPath: path },
        { deadline: Date.now() + CALL_TIMEOUT_MS },
      );
      mounted.delete(path);
      if (await exists(path)) throw new Error(`driver left ${path}`);
      await rm(join(podsDir, pod.uid), { recursive: true, force: true });
    },
    async stats(pod, volume) {
      const { usage } = await driver().unary(Node.method.nodeGetVolumeStats, {
        volumeId: volumeId(pod, volume),
        volumePath: target(pod, volume),
      });
      return usage.map(({ total, used, unit }) => ({ total, used, unit }));
    },
    close() {
      for (const client of clients.splice(0)) client.close();
    },
  };
}

function volumeId(pod: FakePod, volume = DEFAULT_VOLUME): string {
  return `csi-${createHash("sha256").update(`${pod.uid}${volume}`).digest("hex")}`;
}

async function forget(path: string): Promise<void> {
  await rmdir(path).catch(() => undefined);
  await rm(join(dirname(path), "vol_data.json"), { force: true });
}

function publishFields(pod: FakePod, options: MountOptions) {
  const tokens = {
    [`${POD_INFO}serviceAccount.tokens`]: JSON.stringify(
      Object.fromEntries(
        Object.entries(options.tokens ?? { signet: `token-of-${pod.uid}` }).map(([name, token]) => [
          name,
          { token, expirationTimestamp: "2030-01-01T00:00:00Z" },
        ]),
      ),
    ),
  };
  const inSecrets = options.tokensIn === "secrets";
  return {
    readonly: options.readonly ?? true,
    volumeCapability: {
      accessType: {
        case: "mount" as const,
        value: { volumeMountGroup: options.fsGroup ?? "" },
      },
      accessMode: { mode: VolumeCapability_AccessMode_Mode.SINGLE_NODE_WRITER },
    },
    secrets: inSecrets ? tokens : {},
    volumeContext: {
      ...options.attributes,
      [`${POD_INFO}pod.name`]: pod.name,
      [`${POD_INFO}pod.namespace`]: pod.namespace,
      [`${POD_INFO}pod.uid`]: pod.uid,
      [`${POD_INFO}serviceAccount.name`]: pod.serviceAccount,
      [`${POD_INFO}ephemeral`]: "true",
      ...(inSecrets ? {} : tokens),
    },
  };
}

/** Whether kubelet gives the operation up after this error. */
export function isFinal(error: unknown): boolean {
  return isSignetError(error) && !RETRIED.has(ERROR_CODES[toSignetError(error).code].grpc);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let left = 1000; !(await condition()); left--) {
    if (left === 0) throw new Error("gave up waiting");
    await delay(10);
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** The vol_data.json files below a kubelet's folder, for tests that look for leftovers. */
export async function volumeData(podsDir: string): Promise<string[]> {
  const files = await readdir(podsDir, { recursive: true }).catch(() => []);
  return await Promise.all(
    files
      .filter((name) => name.endsWith("vol_data.json"))
      .map(async (name) => await readFile(join(podsDir, name), "utf8")),
  );
}
