import { parseAllDocuments } from "yaml";
import type { Document, Tags } from "yaml";
import { SPIRE_API_VERSION } from "../api/resources.ts";
import { SignetError } from "../core/errors.ts";
import { RENDERED_KINDS } from "../inspect/ports.ts";
import type { RenderedKind } from "../inspect/ports.ts";

/** A custom resource out of a file, with what rendering needs of it. */
export interface RenderedObject {
  readonly apiVersion: string;
  readonly kind: RenderedKind;
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

export interface Documents {
  readonly objects: readonly RenderedObject[];
  /** `Kind name` of the objects that cannot be rendered. */
  readonly passedOver: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads the YAML or JSON documents of a manifest; the items of a List count as documents. Throws MALFORMED with the line
 * for what is no YAML, INVALID_SPEC for what is no object or has no name.
 */
export function parseDocuments(text: string): Documents {
  const documents = parseAllDocuments(text, { version: "1.1", customTags: goTags });
  const objects: RenderedObject[] = [];
  const passedOver: string[] = [];
  for (const document of documents) {
    const [error] = document.errors;
    if (error) throw new SignetError("MALFORMED", error.message, { cause: error });
    const value = valueOf(document);
    for (const item of value === null ? [] : itemsOf(value)) {
      const kind = renderedKind(item);
      if (kind === undefined) passedOver.push(nameOf(item));
      else objects.push(renderedObject(kind, item));
    }
  }
  return { objects, passedOver };
}

/** What a document says; it may be YAML and still mean nothing: a `<<` without a mapping, aliases without end. */
function valueOf(document: Document): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new SignetError("MALFORMED", (cause as Error).message, { cause });
  }
}

/** kubectl reads YAML 1.1 (`yes` is true), without times and base 60. */
function goTags(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === "string" ||
      (!tag.tag.endsWith(":timestamp") && !("format" in tag && tag.format === "TIME")),
  );
}

function itemsOf(value: unknown): Fields[] {
  if (!isFields(value)) {
    throw new SignetError("INVALID_SPEC", "a document is not a Kubernetes object");
  }
  const { kind, items } = value;
  const isList = typeof kind === "string" && kind.endsWith("List") && Array.isArray(items);
  return isList ? items.flatMap(itemsOf) : [value];
}

function renderedKind({ apiVersion, kind }: Fields): RenderedKind | undefined {
  return apiVersion === SPIRE_API_VERSION
    ? RENDERED_KINDS.find((known) => known === kind)
    : undefined;
}

function renderedObject(kind: RenderedKind, item: Fields): RenderedObject {
  const metadata = isFields(item["metadata"]) ? item["metadata"] : {};
  const { name } = metadata;
  if (typeof name !== "string" || name === "") {
    throw new SignetError("INVALID_SPEC", `a ${kind} has no metadata.name`);
  }
  return { apiVersion: SPIRE_API_VERSION, kind, metadata: { name }, spec: item["spec"] };
}

function nameOf({ kind, metadata }: Fields): string {
  const name = isFields(metadata) ? metadata["name"] : undefined;
  return [kind, name].filter((part) => typeof part === "string").join(" ") || "an object";
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
