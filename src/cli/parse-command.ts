import type { SourceKind } from "../registration/types.ts";
import { TOPICS } from "./command.ts";
import type {
  Command,
  ExplainPod,
  ExplainRule,
  ListEntries,
  Render,
  ShowHelp,
  Topic,
} from "./command.ts";
import { readArguments, readAsking, readNumber, refuseForeign, usage } from "./options.ts";
import type { Options } from "./options.ts";

const DEFAULT_PODS = 20;
/** What the operator shows at most. */
const MOST_PODS = 1000;

const POD_WORDS = new Set(["pod", "pods", "po"]);
const SOURCE_KINDS: Readonly<Record<string, SourceKind>> = {
  clusterspiffeid: "ClusterSPIFFEID",
  clusterspiffeids: "ClusterSPIFFEID",
  clusterstaticentry: "ClusterStaticEntry",
  clusterstaticentries: "ClusterStaticEntry",
};
const API_GROUP_SUFFIX = /\.spire\.spiffe\.io$/;

/** Reads the arguments behind `kubectl signet`. Throws INVALID_ARGUMENT that says what is wrong with them. */
export function parseCommand(args: readonly string[]): Command {
  const { options, words } = readArguments(args);
  const [word = "", ...rest] = words;
  if (word === "help" || (word === "" && options.has("help"))) return helpOn(rest);
  const topic = topicOf(word);
  if (options.has("help")) return { run: "help", topic };
  refuseForeign(topic, options);
  switch (topic) {
    case "explain":
      return explain(rest, options);
    case "render":
      return render(rest, options);
    case "entries":
      return entries(rest, options);
    case "version":
    default:
      refuseMore(rest);
      return { run: "version", client: options.has("client"), ...readAsking(options) };
  }
}

function helpOn([word]: readonly string[]): ShowHelp {
  return word === undefined ? { run: "help" } : { run: "help", topic: topicOf(word) };
}

function topicOf(word: string): Topic {
  const topic = TOPICS.find((known) => known === word);
  if (topic !== undefined) return topic;
  throw usage(word === "" ? "a command is missing" : `there is no command "${word}"`);
}

function refuseMore(words: readonly string[]): void {
  if (words.length > 0) throw usage(`unexpected argument "${words[0]}"`);
}

function explain(words: readonly string[], options: Options): ExplainPod | ExplainRule {
  const [kindWord, name, ...more] = explainedObject(words);
  if (kindWord === undefined || name === undefined || name === "") {
    throw usage("explain needs a kind and a name, such as: pod shop/cart-0");
  }
  refuseMore(more);
  if (POD_WORDS.has(kindWord.toLowerCase())) return explainPod(name, options);
  const kind = sourceKind(kindWord);
  if (options.has("namespace")) throw usage(`a ${kind} has no namespace`);
  if (name.includes("/")) throw usage(`"${name}" is no name of a ${kind}`);
  const pods = readNumber(options, "pods", { least: 0, most: MOST_PODS }) ?? DEFAULT_PODS;
  return { run: "explain-rule", kind, name, pods, ...readAsking(options) };
}

/** `KIND NAME` and `KIND/NAME` are the same. */
function explainedObject(words: readonly string[]): readonly string[] {
  const [only = ""] = words;
  const slash = only.indexOf("/");
  return words.length === 1 && slash > 0 ? [only.slice(0, slash), only.slice(slash + 1)] : words;
}

function explainPod(text: string, options: Options): ExplainPod {
  if (options.has("pods")) throw usage("--pods is not for a pod");
  const parts = text.split("/");
  const [first = "", second] = parts;
  if (parts.length > 2 || parts.includes("")) throw usage(`"${text}" is no NAMESPACE/NAME`);
  const given = options.text("namespace");
  const namespace = second === undefined ? given : first;
  if (given !== undefined && given !== namespace) {
    throw usage(`--namespace ${given} and pod ${text} contradict each other`);
  }
  return {
    run: "explain-pod",
    name: second ?? first,
    ...(namespace === undefined ? {} : { namespace }),
    ...readAsking(options),
  };
}

function render(words: readonly string[], options: Options): Render {
  refuseMore(words);
  const file = options.text("filename");
  if (file === undefined) throw usage("render needs a file: -f FILE, or -f - for standard input");
  return { run: "render", file, ...readAsking(options) };
}

function entries(words: readonly string[], options: Options): ListEntries {
  refuseMore(words);
  const namespace = options.text("namespace");
  const node = options.text("node");
  const source = options.text("source");
  return {
    run: "entries",
    ...(namespace === undefined ? {} : { namespace }),
    ...(node === undefined ? {} : { node }),
    ...(source === undefined ? {} : { source: entrySource(source) }),
    ...readAsking(options, ["wide", "json", "yaml"]),
  };
}

/** With the kind spelled as entries have it. */
function entrySource(text: string): string {
  const [kind = "", name, ...more] = text.split("/");
  if (name === undefined) return text;
  if (name === "" || more.length > 0) throw usage(`--source is NAME or KIND/NAME, not "${text}"`);
  return `${sourceKind(kind)}/${name}`;
}

function sourceKind(word: string): SourceKind {
  const plain = word.toLowerCase().replace(API_GROUP_SUFFIX, "");
  const kind = Object.hasOwn(SOURCE_KINDS, plain) ? SOURCE_KINDS[plain] : undefined;
  if (kind !== undefined) return kind;
  throw usage(`"${word}" is neither pod nor clusterspiffeid nor clusterstaticentry`);
}
