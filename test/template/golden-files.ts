import { readFileSync, readdirSync } from "node:fs";
import type { TemplateData } from "../../src/template/template.ts";

/** One (template, data) pair with what Go's text/template gives for it, in Go's words. */
export interface Golden {
  readonly template: string;
  /** The name of the data in its corpus file or in corpus.json. */
  readonly data: string;
  readonly class: "ok" | "parse" | "exec";
  readonly output?: string;
  readonly error?: string;
}

/** A file of templates, `corpus-X.json`, beside the results that Go gave, `golden-X.jsonl`. */
export interface Corpus {
  readonly file: string;
  /** Its own data and that of corpus.json. */
  readonly data: Readonly<Record<string, TemplateData>>;
  readonly templates: readonly string[];
  readonly golden: readonly Golden[];
}

interface CorpusFile {
  readonly data: Readonly<Record<string, TemplateData>>;
  readonly groups: readonly { readonly templates: readonly string[] }[];
}

/** The folder of the Go program that judges. */
export const GOLDEN_FOLDER = new URL("../golden/templates/", import.meta.url);

/** Every corpus file, by name. */
export function readCorpora(): Corpus[] {
  const shared = JSON.parse(read("corpus.json")) as CorpusFile;
  const files = readdirSync(GOLDEN_FOLDER).filter((file) => /^corpus.*\.json$/.test(file));
  return files.toSorted().map((file) => {
    const corpus = JSON.parse(read(file)) as CorpusFile;
    const lines = read(goldenFile(file)).split("\n").filter(Boolean);
    return {
      file,
      data: { ...shared.data, ...corpus.data },
      templates: corpus.groups.flatMap((group) => group.templates),
      golden: lines.map((line) => JSON.parse(line) as Golden),
    };
  });
}

/** The results of a corpus file. */
export function goldenFile(corpus: string): string {
  return corpus.replace("corpus", "golden").replace(/\.json$/, ".jsonl");
}

function read(file: string): string {
  return readFileSync(new URL(file, GOLDEN_FOLDER), "utf8");
}
