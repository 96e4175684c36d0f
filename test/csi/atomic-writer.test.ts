import nodeFs, {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pruneGenerations, writePayload } from "../../src/csi/atomic-writer.ts";
import type { Payload, WriterFs } from "../../src/csi/atomic-writer.ts";
import { IS_ROOT, makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

let sandbox: Sandbox;
let root: string;
beforeEach(async () => {
  sandbox = await makeSandbox();
  root = join(sandbox.dir, "volume");
  mkdirSync(root);
});
afterEach(async () => await sandbox.cleanUp());

const payload = (files: Record<string, string>, mode = 0o444): Payload =>
  new Map(
    Object.entries(files).map(([name, text]) => [name, { content: Buffer.from(text), mode }]),
  );
const write = (files: Record<string, string>, fs: WriterFs = nodeFs): boolean =>
  writePayload(root, payload(files), { now: NOW, fs });

/** What a reader of the visible names finds. */
function shown(): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (folder: string, prefix: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (prefix === "" && name.startsWith("..")) continue;
      if (statSync(path).isDirectory()) walk(path, `${prefix}${name}/`);
      else found[`${prefix}${name}`] = readFileSync(path, "utf8");
    }
  };
  walk(root, "");
  return found;
}

const hidden = (): string[] => readdirSync(root).filter((name) => name.startsWith(".."));

describe("layout", () => {
  test("is that of kubelet's AtomicWriter", () => {
    expect(write({ "tls.crt": "c", "federated/example.org.pem": "f" })).toBe(true);
    const generation = readlinkSync(join(root, "..data"));
    expect(generation).toMatch(/^\.\.2026_01_02_03_04_05\.[A-Za-z0-9]{6}$/);
    expect(readlinkSync(join(root, "tls.crt"))).toBe("..data/tls.crt");
    expect(readlinkSync(join(root, "federated"))).toBe("..data/federated");
    expect(statSync(join(root, generation)).mode & 0o7777).toBe(0o755);
    expect(statSync(join(root, generation, "federated")).mode & 0o7777).toBe(0o755);
    expect(shown()).toEqual({ "tls.crt": "c", "federated/example.org.pem": "f" });
  });

  test("modes do not depend on the umask", () => {
    const umask = process.umask(0o077);
    try {
      write({ "a/b": "x" });
      writePayload(root, payload({ "a/b": "x" }, 0o440), { now: NOW });
    } finally {
      process.umask(umask);
    }
    expect(statSync(join(root, "a/b")).mode & 0o7777).toBe(0o440);
    expect(statSync(join(root, "..data")).mode & 0o7777).toBe(0o755);
    expect(statSync(join(root, "a")).mode & 0o7777).toBe(0o755);
  });

  test.skipIf(!IS_ROOT)("files belong to the group (only root may give files away)", () => {
    const files = payload({ "tls.key": "k" }, 0o440);
    writePayload(root, files, { now: NOW, gid: 2000 });
    expect(statSync(join(root, "tls.key"))).toMatchObject({ uid: 0, gid: 2000 });
    expect(writePayload(root, files, { now: NOW, gid: 2000 })).toBe(false);
    expect(writePayload(root, files, { now: NOW, gid: 3000 })).toBe(true);
    expect(statSync(join(root, "tls.key")).gid).toBe(3000);
  });

  test.skipIf(!IS_ROOT)("files belong to the owner, with and without a group", () => {
    const files = payload({ "tls.key": "k" }, 0o400);
    writePayload(root, files, { now: NOW, uid: 1000 });
    expect(statSync(join(root, "tls.key"))).toMatchObject({ uid: 1000, gid: 0 });
    expect(writePayload(root, files, { now: NOW, uid: 1000 })).toBe(false);
    expect(writePayload(root, files, { now: NOW, uid: 1000, gid: 7 })).toBe(true);
    expect(statSync(join(root, "tls.key"))).toMatchObject({ uid: 1000, gid: 7 });
    expect(writePayload(root, files, { now: NOW, uid: 1001, gid: 7 })).toBe(true);
  });

  test("a hidden file lies with the others, has no visible name and stays the process's own", () => {
    const files = new Map([...payload({ a: "1" }), ...payload({ ".identity": "r" }, 0o400)]);
    const owner = IS_ROOT ? { uid: 1000, gid: 2000 } : {};
    expect(writePayload(root, files, { now: NOW, ...owner })).toBe(true);
    expect(writePayload(root, files, { now: NOW, ...owner })).toBe(false);
    expect(readdirSync(root).filter((name) => !name.startsWith(".."))).toEqual(["a"]);
    const stat = statSync(join(root, "..data/.identity"));
    expect(stat).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.() });
    expect(stat.mode & 0o7777).toBe(0o400);
    const changed = new Map([...files, ...payload({ ".identity": "s" }, 0o400)]);
    expect(writePayload(root, changed, { now: NOW, ...owner })).toBe(true);
    expect(readFileSync(join(root, "..data/.identity"), "utf8")).toBe("s");
  });

  test.each(["..x", "..data", "a/../b", "/a", "a//b", "", "a/", ".", "x".repeat(256), "a\0"])(
    "refuses a file named %j",
    (name) => {
      expect(() => write({ [name]: "x" })).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
      expect(readdirSync(root)).toEqual([]);
    },
  );
});

describe("updates", () => {
  test("an unchanged payload changes nothing", () => {
    write({ a: "1", b: "2" });
    const before = readdirSync(root).map((name) => [name, lstatSync(join(root, name)).ctimeMs]);
    expect(write({ a: "1", b: "2" })).toBe(false);
    expect(readdirSync(root).map((name) => [name, lstatSync(join(root, name)).ctimeMs])).toEqual(
      before,
    );
  });

  test("a changed mode is a change", () => {
    write({ a: "1" });
    expect(writePayload(root, payload({ a: "1" }, 0o400), { now: NOW })).toBe(true);
    expect(statSync(join(root, "a")).mode & 0o7777).toBe(0o400);
  });

  test("files come and go with the payload", () => {
    write({ a: "1", "d/b": "2", "d/c": "3" });
    write({ a: "1", "d/c": "4", e: "5" });
    expect(shown()).toEqual({ a: "1", "d/c": "4", e: "5" });
    write({ a: "1" });
    expect(shown()).toEqual({ a: "1" });
  });

  test("other files and sockets in the root stay", () => {
    writeFileSync(join(root, "api.sock"), "");
    symlinkSync("api.sock", join(root, "spire-agent.sock"));
    write({ a: "1" });
    write({ b: "1" });
    expect(readdirSync(root)).toContain("api.sock");
    expect(readlinkSync(join(root, "spire-agent.sock"))).toBe("api.sock");
  });

  test("the generation before stays for its readers until the next write or a prune", () => {
    write({ a: "1" });
    const first = readlinkSync(join(root, "..data"));
    write({ a: "2" });
    expect(readFileSync(join(root, first, "a"), "utf8")).toBe("1");
    write({ a: "3" });
    expect(existsSync(join(root, first))).toBe(false);
    expect(hidden()).toHaveLength(3);
    pruneGenerations(root);
    expect(hidden().toSorted()).toEqual(["..data", readlinkSync(join(root, "..data"))].toSorted());
    expect(shown()).toEqual({ a: "3" });
  });

  test("a visible name that someone bent is put right", () => {
    write({ a: "1", b: "2" });
    rmSync(join(root, "a"));
    rmSync(join(root, "b"));
    symlinkSync("..data/a", join(root, "b"));
    expect(write({ a: "1", b: "2" })).toBe(false);
    expect(shown()).toEqual({ a: "1", b: "2" });
  });

  test("a generation that was tampered with is replaced", () => {
    write({ a: "1" });
    chmodSync(join(root, "..data/a"), 0o644);
    writeFileSync(join(root, "..data/a"), "x");
    chmodSync(join(root, "..data/a"), 0o444);
    expect(write({ a: "1" })).toBe(true);
    expect(shown()).toEqual({ a: "1" });
  });
});

describe.skipIf(!IS_ROOT)("a full volume", () => {
  const SIZE = 1 << 16;
  beforeEach(() =>
    sandbox.mounter.mountTmpfs(root, { source: "test", sizeBytes: SIZE, mode: 0o755 }),
  );

  test("keeps what it shows, says what did not fit, and has room for the next write", () => {
    write({ a: "old" });
    const big = { a: "new", b: "x".repeat(SIZE), c: "never" };
    expect(() => write(big)).toThrow(
      expect.objectContaining({
        code: "RESOURCE_EXHAUSTED",
        message: expect.stringMatching(
          /too small for its 3 files of 65544 bytes: there was no space for b; .*signet\.dev\/files/,
        ) as string,
        details: { code: "ENOSPC", file: "b", files: 3, bytes: 65_544 },
      }),
    );
    expect(shown()).toEqual({ a: "old" });
    expect(hidden()).toHaveLength(2);
    expect(write({ a: "next", b: "x".repeat(SIZE / 2) })).toBe(true);
    expect(shown()).toMatchObject({ a: "next" });
  });

  test("that never showed anything shows nothing", () => {
    expect(() => write({ b: "x".repeat(2 * SIZE) })).toThrow(/no space for b/);
    expect(readdirSync(root)).toEqual([]);
  });
});

function half(name: string, args: unknown[], real: (...args: unknown[]) => unknown): void {
  if (name === "writeFileSync") {
    const content = args[1] as Buffer;
    real(args[0], content.subarray(0, content.length / 2), args[2]);
  }
  const folder = args[0] as string;
  if (name === "rmSync" && lstatSync(folder).isDirectory()) {
    for (const file of readdirSync(folder).slice(1))
      rmSync(join(folder, file), { recursive: true });
  }
}

/** `..data` shows the files of one write, whatever the visible names do meanwhile. */
function expectOldOrNew(old: Record<string, string>, next: Record<string, string>): void {
  const data = Object.fromEntries(
    readdirSync(join(root, "..data"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(join(root, "..data").length + 1), readFileSync(path, "utf8")];
      }),
  );
  expect([old, next]).toContainEqual(data);
}

describe("crashes", () => {
  const MUTATING = [
    "chmodSync",
    "chownSync",
    "mkdirSync",
    "mkdtempSync",
    "renameSync",
    "rmSync",
    "symlinkSync",
    "unlinkSync",
    "writeFileSync",
  ] as const;
  type Moment = "before" | "within" | "after";

  /** A file system that dies at the n-th change: before it, after it, or in the middle of it. */
  function dyingFs(n: number, moment: Moment): { fs: WriterFs; died: () => boolean } {
    let left = n;
    let died = false;
    const fs = { ...nodeFs } as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const name of MUTATING) {
      const real = nodeFs[name] as (...args: unknown[]) => unknown;
      fs[name] = (...args) => {
        if (died) throw new Error("dead processes do nothing");
        if (left-- > 0) return real(...args);
        died = true;
        if (moment === "after") real(...args);
        if (moment === "within") half(name, args, real);
        throw new Error("crash");
      };
    }
    return { fs: fs as unknown as WriterFs, died: () => died };
  }

  const contents = fc.dictionary(
    fc.constantFrom("a", "b", "d/x", "d/y", "tls.crt"),
    fc.constantFrom("1", "22", "333"),
    { minKeys: 1 },
  );

  test("at any step of any write: readers see the old or the new files, and the next write repairs", () => {
    fc.assert(
      fc.property(
        contents,
        contents,
        fc.constantFrom<Moment>("before", "within", "after"),
        (old, next, moment) => {
          let died = true;
          for (let step = 0; died; step++) {
            rmSync(root, { recursive: true });
            mkdirSync(root);
            write({ ...old, z: "0" });
            write(old);
            const dying = dyingFs(step, moment);
            try {
              write(next, dying.fs);
            } catch {
              // The process is dead; what it left counts.
            }
            died = dying.died();
            expectOldOrNew(old, next);
            write(next);
            pruneGenerations(root);
            expect(shown()).toEqual(next);
            expect(hidden()).toHaveLength(2);
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  test("at any step of the first write: nothing or everything, and the next write repairs", () => {
    let died = true;
    for (let step = 0; died; step++) {
      rmSync(root, { recursive: true });
      mkdirSync(root);
      const dying = dyingFs(step, "before");
      try {
        write({ a: "1", b: "2" }, dying.fs);
      } catch {
        // The process is dead; what it left counts.
      }
      died = dying.died();
      const dangling = readdirSync(root).filter((name) => !existsSync(join(root, name)));
      expect(dangling.filter((name) => !name.startsWith(".."))).toEqual([]);
      write({ a: "1", b: "2" });
      pruneGenerations(root);
      expect(shown()).toEqual({ a: "1", b: "2" });
      expect(hidden()).toHaveLength(2);
    }
  });
});

/** A pair of which both halves are the same. */
function both(n: number): Record<string, string> {
  const text = `${n}:`.padEnd(2000, "x");
  return { "tls.key": text, "tls.crt": text };
}

test("a reader in a tight loop never sees a mixed or a missing pair", async () => {
  const writeNumber = (n: number): void => {
    symlinkSync(String(n), join(root, "started-next"));
    renameSync(join(root, "started-next"), join(root, "started"));
    writePayload(root, payload(both(n)), { now: Date.UTC(2026, 0, 2, 0, 0, n) });
  };
  writeNumber(0);
  const stop = new SharedArrayBuffer(4);
  const worker = new Worker(new URL("atomic-reader.ts", import.meta.url), {
    workerData: { root, stop },
  });
  let seen: Record<string, number> = {};
  const last = new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (message: Record<string, number>) => {
      seen = message;
      if (message["isLast"]) resolve();
    });
  });
  const hasSeenEnough = (): boolean =>
    (seen["reads"] ?? 0) >= 1000 && (seen["generations"] ?? 0) >= 50;
  for (let n = 1; n <= 500 || !hasSeenEnough(); n++) {
    writeNumber(n);
    await turn();
  }
  Atomics.store(new Int32Array(stop), 0, 1);
  await last;
  await worker.terminate();
  expect(seen).toMatchObject({ mixed: 0, missing: 0 });
});
