import { SignetError } from "../core/errors.ts";
import type { AboutView, EntryLine, EntryView, PodView, RuleView } from "../inspect/ports.ts";
import type { SourceKind } from "../registration/types.ts";
import type { Command, ExplainPod, ExplainRule, ListEntries, ShowVersion } from "./command.ts";
import { helpText } from "./help.ts";
import { mergePods, mergeRules } from "./merge-issues.ts";
import type { Answered } from "./merge-issues.ts";
import { formatValue, printItems } from "./output.ts";
import { compareEntries, printEntries } from "./print-entry.ts";
import { printPod } from "./print-pod.ts";
import { printRule } from "./print-rule.ts";
import { renderFile } from "./render-file.ts";
import { withSession } from "./session.ts";
import type { Shell } from "./session.ts";
import { formatFields } from "./terminal-text.ts";

/** Does what was asked; resolves with whether all of it is well. */
export async function runCommand(command: Command, shell: Shell): Promise<boolean> {
  switch (command.run) {
    case "help":
      await shell.print(`${helpText(command.topic)}\n`);
      return true;
    case "explain-pod":
      return explainPod(command, shell);
    case "explain-rule":
      return explainRule(command, shell);
    case "render":
      return renderFile(command, shell);
    case "entries":
      return listEntries(command, shell);
    case "version":
    default:
      return showVersion(command, shell);
  }
}

async function explainPod(command: ExplainPod, shell: Shell): Promise<boolean> {
  const pod = await withSession(shell, command, async (session) => {
    const path = [command.namespace ?? session.namespace, command.name].map(encodeURIComponent);
    const answers = await session.all({ method: "GET", target: `/v1/pods/${path.join("/")}` });
    return mergeAnswers(answers as readonly Answered<PodView>[], mergePods);
  });
  await shell.print(formatValue(pod, command.output, () => printPod(pod, shell.now())));
  return true;
}

const PATHS: Readonly<Record<SourceKind, string>> = {
  ClusterSPIFFEID: "clusterspiffeids",
  ClusterStaticEntry: "clusterstaticentries",
};

async function explainRule(command: ExplainRule, shell: Shell): Promise<boolean> {
  const rule = await withSession(shell, command, async (session) => {
    const path = `/v1/${PATHS[command.kind]}/${encodeURIComponent(command.name)}`;
    const answers = await session.all({ method: "GET", target: `${path}?pods=${command.pods}` });
    return mergeAnswers(answers as readonly Answered<RuleView>[], mergeRules);
  });
  await shell.print(formatValue(rule, command.output, () => printRule(rule, shell.now())));
  return true;
}

function mergeAnswers<T>(
  answers: readonly Answered<T>[],
  merge: (first: Answered<T>, others: readonly Answered<T>[]) => T,
): T {
  const [first, ...others] = answers;
  if (first) return merge(first, others);
  throw new SignetError("INTERNAL", "no replica of the operator answered");
}

async function listEntries(command: ListEntries, shell: Shell): Promise<boolean> {
  const { namespace = "", node = "", source = "", output } = command;
  const query = new URLSearchParams({ namespace, node, source });
  const entries = await withSession(shell, command, async (session) => {
    const answer = await session.first({
      method: "GET",
      target: `/v1/entries?${query.toString()}`,
    });
    return collectEntries(answer.lines());
  });
  entries.sort(compareEntries);
  if (output === "json" || output === "yaml") await printItems(entries, output, shell.print);
  else if (entries.length === 0) shell.note("no entries");
  else await shell.print(printEntries(entries, output === "wide"));
  return true;
}

async function collectEntries(lines: AsyncIterable<unknown>): Promise<EntryView[]> {
  const entries: EntryView[] = [];
  for await (const line of lines as AsyncIterable<EntryLine>) {
    if ("entry" in line) entries.push(line.entry);
    else if (line.end.entries === entries.length) return entries;
  }
  throw new SignetError("UNAVAILABLE", "the list of entries broke off; try again");
}

async function showVersion(command: ShowVersion, shell: Shell): Promise<boolean> {
  const client = { client: shell.version };
  if (command.client) {
    await shell.print(formatValue(client, command.output, () => formatFields(client)));
    return true;
  }
  const answers = await withSession(shell, command, (session) =>
    session.all({ method: "GET", target: "/v1/about" }),
  );
  const operators = answers.map(({ replica, view }) => ({ replica, ...(view as AboutView) }));
  const value = { ...client, operators };
  const fields = Object.fromEntries(
    operators.map(({ replica, version, trustDomain }) => [
      replica,
      `${version}, trust domain ${trustDomain}`,
    ]),
  );
  await shell.print(
    formatValue(value, command.output, () => formatFields({ ...client, ...fields })),
  );
  return true;
}
