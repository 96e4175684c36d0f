/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as a volume needs it. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly fsType: string;
  /** What mount(2) was told as its source; for a tmpfs any name. */
  readonly source: string;
  /** Whether mounts below it are passed on to other mount namespaces. */
  readonly shared: boolean;
}

/** Reads the text of /proc/self/mountinfo; lines that are not in its form are left out. */
export function parseMountTable(text: string): MountEntry[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [mountPoint, fsType, source] = [fields[4], fields[separator + 1], fields[separator + 2]];
    if (separator === -1 || mountPoint === undefined) return [];
    if (fsType === undefined || source === undefined) return [];
    const shared = fields.slice(6, separator).some((field) => field.startsWith("shared:"));
    return [{ mountPoint: unescape(mountPoint), fsType, source: unescape(source), shared }];
  });
}

/** The mounts stacked at exactly `path`, the visible one last. */
export function mountsAt(table: readonly MountEntry[], path: string): MountEntry[] {
  return table.filter((entry) => entry.mountPoint === path);
}

/** The mount that `path` lies on: the longest mount point above it, the last of equals. */
export function mountOf(table: readonly MountEntry[], path: string): MountEntry | undefined {
  return table
    .filter(({ mountPoint }) => isWithin(mountPoint, path))
    .reduce<MountEntry | undefined>(
      (best, entry) => (best && best.mountPoint.length > entry.mountPoint.length ? best : entry),
      undefined,
    );
}

function isWithin(folder: string, path: string): boolean {
  return folder === "/" || path === folder || path.startsWith(`${folder}/`);
}

/** The kernel writes space, tab, newline and backslash as three octal digits, byte by byte. */
function unescape(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
