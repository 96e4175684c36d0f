import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { DEFAULT_FILE_SETS, FILE_SETS } from "../../src/api/volume-attributes/files.ts";
import { ATTRIBUTE_NAMES, SOCKET_NAMES } from "../../src/api/volume-attributes/names.ts";
import {
  KEY_FORMATS,
  parseVolumeAttributes,
  VOLUME_KEY_TYPES,
} from "../../src/api/volume-attributes/parse.ts";
import { ANNOTATIONS } from "../../src/webhook/annotations.ts";
import { injectVolume } from "../../src/webhook/mutate.ts";
import type { IncomingPod } from "../../src/webhook/pod.ts";
import { blocks } from "./markdown.ts";

const path = "docs/volumes.md";
const text = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** The cells of each row of the table under a heading, without its head. */
function rows(heading: string): string[][] {
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const lines = section.split("\n## ", 1)[0]?.match(/^\|.*\|$/gm) ?? [];
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
}
const code = (cell = ""): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);

describe("docs/volumes.md", () => {
  it("has a row for every attribute, and none for another", () => {
    const named = rows("Attributes").map(([name]) => code(name)[0] ?? "");
    expect(named.toSorted()).toEqual(ATTRIBUTE_NAMES);
  });

  it("names every value that an attribute can have", () => {
    const values = (name: string) =>
      code(rows("Attributes").find(([cell]) => cell?.includes(name))?.[1]);
    expect(values("/key-type`")).toEqual(VOLUME_KEY_TYPES);
    expect(values("/key-format`")).toEqual(KEY_FORMATS);
    for (const mode of values("/file-mode`")) {
      expect(() =>
        parseVolumeAttributes({ "signet.dev/file-mode": mode }, "annotation"),
      ).not.toThrow();
    }
  });

  it("tells of every set its files, and whether it is there by default", () => {
    const told = rows("Sets of files").map(([set, byDefault, files]) => [
      code(set)[0],
      byDefault === "yes",
      code(files).filter((file) => !/[</]/.test(file)),
    ]);
    const expected = Object.entries(FILE_SETS).map(([set, files]) => [
      set,
      (DEFAULT_FILE_SETS as readonly string[]).includes(set),
      set === "svids" ? ["tls.key", "ca.crt"] : files,
    ]);
    const bySet = ([a]: unknown[], [b]: unknown[]) => String(a).localeCompare(String(b));
    expect(told.toSorted(bySet)).toEqual(expected.toSorted(bySet));
  });

  it("names the webhook's own annotations and the sockets", () => {
    for (const name of [...Object.values(ANNOTATIONS), ...SOCKET_NAMES]) {
      expect(text).toContain(`\`${name}\``);
    }
  });

  it("has examples that the webhook and the agent take", () => {
    const pods = blocks({ path, text }, "yaml").map((block) => parse(block) as IncomingPod);
    expect(pods).toHaveLength(2);
    const attributes = pods.map((pod) => {
      const { spec } = injectVolume(pod, { driverName: "csi.spiffe.io" });
      return spec.volumes?.[0]?.csi?.volumeAttributes ?? {};
    });
    const [annotated, declared] = attributes.map((given) =>
      parseVolumeAttributes(given, "volume attribute"),
    );
    expect(annotated?.jwtFiles.map(({ name }) => name)).toEqual(["vault", "aws"]);
    expect(declared?.fileNames.get("tls.key")).toBe("server.key");
  });
});
