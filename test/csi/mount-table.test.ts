import * as fc from "fast-check";
import { expect, test } from "vitest";
import { mountOf, mountsAt, parseMountTable } from "../../src/csi/mount-table.ts";

const LINES = [
  "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
  "90 22 0:50 / /var/lib/kubelet/pods rw - ext4 /dev/sda1 rw",
  "91 90 0:51 / /var/lib/kubelet/pods/a/mount rw,nosuid shared:5 master:2 - tmpfs csi.spiffe.io rw,size=1024k",
  "92 91 0:52 / /var/lib/kubelet/pods/a/mount rw - tmpfs other rw",
  "93 22 0:53 / /mnt/with\\040space\\134and\\011tab rw - tmpfs a\\040b rw",
  "not a mount line",
  "",
].join("\n");

test("lines with any number of optional fields are read", () => {
  expect(parseMountTable(LINES).slice(0, 3)).toEqual([
    { mountPoint: "/", fsType: "ext4", source: "/dev/sda1", shared: true },
    { mountPoint: "/var/lib/kubelet/pods", fsType: "ext4", source: "/dev/sda1", shared: false },
    {
      mountPoint: "/var/lib/kubelet/pods/a/mount",
      fsType: "tmpfs",
      source: "csi.spiffe.io",
      shared: true,
    },
  ]);
  expect(parseMountTable(LINES)).toHaveLength(5);
});

test("stacked mounts are found in their order", () => {
  const table = parseMountTable(LINES);
  expect(mountsAt(table, "/var/lib/kubelet/pods/a/mount").map((m) => m.source)).toEqual([
    "csi.spiffe.io",
    "other",
  ]);
  expect(mountsAt(table, "/var/lib/kubelet/pods/a")).toEqual([]);
});

test("a path lies on the longest mount point above it", () => {
  const table = parseMountTable(LINES);
  expect(mountOf(table, "/var/lib/kubelet/pods/b")?.mountPoint).toBe("/var/lib/kubelet/pods");
  expect(mountOf(table, "/var/lib/kubelet/podsother")?.mountPoint).toBe("/");
  expect(mountOf(table, "/var/lib/kubelet/pods/a/mount/tls.crt")?.source).toBe("other");
});

test("every path survives the kernel's escapes", () => {
  const path = fc.string({ unit: fc.constantFrom("a", "/", " ", "\t", "\n", "\\", "0", "é", "-") });
  fc.assert(
    fc.property(path, (tail) => {
      const escaped = tail.replaceAll(
        /[ \t\n\\]/g,
        (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`,
      );
      const [entry] = parseMountTable(`1 2 0:1 / /${escaped} rw - tmpfs ${escaped || "x"} rw`);
      expect(entry?.mountPoint).toBe(`/${tail}`);
      expect(entry?.source).toBe(tail || "x");
    }),
  );
});
