import { readFileSync, statSync } from "node:fs";

/** A small file that somebody else replaces now and then. */
export interface WatchedFile {
  /** Its text now, or undefined when there is none; read again only when the file changed. */
  read(): string | undefined;
}

/** Larger files than this count as missing: no token or bundle comes near. */
const MAX_BYTES = 1 << 20;

/**
 * Watches a file by looking at it when asked: kubelet replaces projected files by swapping a symlink, so
 * inode and time of change tell versions apart.
 */
export function watchedFile(path: string): WatchedFile {
  let version = "";
  let text: string | undefined;
  return {
    read() {
      const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (!stat || stat.size > MAX_BYTES) return undefined;
      const seen = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      if (seen !== version || text === undefined) {
        text = readFileSync(path, "utf8");
        version = seen;
      }
      return text;
    },
  };
}
