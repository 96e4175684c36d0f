import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SignetError } from "../../src/core/errors.ts";
import { readWishes } from "../../src/webhook/annotations.ts";
import { pod } from "./pods.ts";

const spec = { containers: [{ name: "app" }, { name: "proxy" }], initContainers: [{ name: "db" }] };
const read = (annotations: Record<string, string>) => readWishes(pod({ annotations, spec }));

function faultOf(action: () => unknown): SignetError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return error as SignetError;
  }
}

describe("readWishes", () => {
  it("has defaults for a pod without annotations", () => {
    expect(readWishes({ spec: { containers: [] } })).toEqual({
      mountPath: "/var/run/secrets/spiffe.io",
      containers: undefined,
      attributes: {},
    });
  });

  it.each(["relative", "", "/", "/a/../b", "/a//b", "/a:b", "/a b", "/a/./b", "/a\n", "//a"])(
    "refuses the mount path %j",
    (path) => {
      expect(() => read({ "signet.dev/mount-path": path })).toThrow(
        /^annotation signet\.dev\/mount-path=/,
      );
    },
  );

  it("refuses a mount path in which a socket could not be opened", () => {
    const longest = `/${"a".repeat(97)}`;
    expect(Buffer.byteLength(`${longest}/api.sock`)).toBe(107);
    expect(read({ "signet.dev/mount-path": longest }).mountPath).toBe(longest);
    expect(() => read({ "signet.dev/mount-path": `${longest}a` })).toThrow(/at most 98 bytes/);
  });

  it("reads a list of containers, init containers included", () => {
    const { containers } = read({ "signet.dev/containers": " app,db " });
    expect([...(containers ?? [])]).toEqual(["app", "db"]);
  });

  it("names the annotation, the unknown container and the containers there are", () => {
    expect(() => read({ "signet.dev/containers": "app,ap" })).toThrow(
      'annotation signet.dev/containers="app,ap" names no container "ap"; the pod has db, app, proxy',
    );
  });

  it.each(["", "app,", ","])("refuses an empty name in the list %j", (list) => {
    expect(() => read({ "signet.dev/containers": list })).toThrow(/holds an empty name; the pod/);
  });

  it("reads attributes of the volume by the volume's own rules, and leaves other annotations alone", () => {
    const attributes = { "signet.dev/files": "default,jks", "signet.dev/optional": "false" };
    const others = { "example.com/x": "y", "spiffe.csi.cert-manager.io/fs-group": "x" };
    expect(read({ ...others, ...attributes }).attributes).toEqual(attributes);
    expect(() => read({ "signet.dev/files": "jsk" })).toThrow(
      /^annotation signet\.dev\/files="jsk" must name sets of files, but "jsk" is no set/,
    );
  });

  it("refuses an unknown annotation of ours and lists the known ones", () => {
    expect(() => read({ "signet.dev/mountpath": "/x" })).toThrow(
      /^annotation "signet.dev\/mountpath" is unknown; known are signet.dev\/containers, .*mount-path/,
    );
  });

  it.each(["yes", "True", ""])("refuses %j for optional", (value) => {
    expect(() => read({ "signet.dev/optional": value })).toThrow(
      /^annotation signet\.dev\/optional=".*" must be "true" or "false"$/,
    );
  });

  it("keeps a refusal short and says which annotation it was, whatever the value", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("mount-path", "containers", "optional"),
        fc.string({ maxLength: 5000 }),
        (name, value) => {
          const annotation = `signet.dev/${name}`;
          const fault = faultOf(() => read({ [annotation]: value }));
          expect([undefined, annotation]).toContain(fault?.details["annotation"]);
          expect([undefined, "INVALID_ARGUMENT"]).toContain(fault?.code);
          expect(fault?.message.length ?? 0).toBeLessThan(2500);
        },
      ),
    );
  });
});
