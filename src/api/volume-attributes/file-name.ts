const MAX_NAME_BYTES = 255;
const MAX_STEPS = 4;
const STEP = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** Tells whether a file of a volume may be called so: letters, digits, `.`, `_` and `-`, no leading dot. */
export function isFileName(name: string): boolean {
  return name.length <= MAX_NAME_BYTES && STEP.test(name);
}

/** Tells whether a path in a volume is made of at most four such names. */
export function isFilePath(path: string): boolean {
  const steps = path.split("/");
  return steps.length <= MAX_STEPS && path.length <= MAX_NAME_BYTES && steps.every(isFileName);
}

/** A text with everything that a file name cannot hold made `_`. */
export function sanitizeName(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}

/** The first path that is there twice, or is a file where another one needs a folder. */
export function collision(paths: readonly string[]): string | undefined {
  const seen = new Set<string>();
  const folders = new Set(paths.flatMap(foldersOf));
  return paths.find((path) => seen.size === seen.add(path).size || folders.has(path));
}

function foldersOf(path: string): string[] {
  const steps = path.split("/");
  return steps.slice(1).map((_, at) => steps.slice(0, at + 1).join("/"));
}
