import { setImmediate as nextTurn } from "node:timers/promises";
import { admitsEntry } from "./entry-filter.ts";
import type { EntryFilter } from "./entry-filter.ts";
import type { EntryLine } from "./ports.ts";
import { entryView } from "./views.ts";
import type { ViewSource } from "./views.ts";

/** A piece that is given away is this long or a little longer, so that a slow reader holds up the next. */
const PIECE_CHARS = 64 * 1024;
/** Entries looked at before others get their turn. */
const ENTRIES_PER_TURN = 1000;

/**
 * The entries that the filter admits as JSON lines, in pieces of many lines, and a last line with their count. They are
 * read while the registry changes: each is true at the moment it is read, together they are no snapshot.
 */
export async function* entryLines(filter: EntryFilter, source: ViewSource): AsyncGenerator<string> {
  let piece = "";
  let seen = 0;
  let entries = 0;
  for (const entry of source.registry.entries()) {
    const pod = source.registry.pod(entry.podUid);
    if (admitsEntry(filter, entry, pod)) {
      entries += 1;
      piece += line({ entry: entryView(entry, pod, source) });
    }
    if (piece.length >= PIECE_CHARS) {
      yield piece;
      piece = "";
    }
    seen += 1;
    if (seen % ENTRIES_PER_TURN === 0) await nextTurn();
  }
  yield piece + line({ end: { entries } });
}

function line(content: EntryLine): string {
  return `${JSON.stringify(content)}\n`;
}
