import { stringify } from "yaml";
import type { Output } from "./command.ts";

/** Takes a piece of text; resolves when there is room for the next. */
export type Print = (text: string) => Promise<void>;

/** No wrapping: a long template stays on its line. */
const YAML = { lineWidth: 0 } as const;

/** A value in the format that was asked for; `table` makes the text for people. */
export function formatValue(value: unknown, output: Output, table: () => string): string {
  if (output === "json") return `${JSON.stringify(value, undefined, 2)}\n`;
  if (output === "yaml") return stringify(value, YAML);
  return table();
}

/** Prints `{items: [...]}` item by item: all of them may be too long for one text. */
export async function printItems(
  items: readonly unknown[],
  output: "json" | "yaml",
  print: Print,
): Promise<void> {
  if (items.length === 0) return print(output === "json" ? '{"items":[]}\n' : "items: []\n");
  await print(output === "json" ? '{"items":[\n' : "items:\n");
  for (const [at, item] of items.entries()) {
    const comma = at === items.length - 1 ? "" : ",";
    await print(output === "json" ? `${JSON.stringify(item)}${comma}\n` : stringify([item], YAML));
  }
  if (output === "json") await print("]}\n");
}
