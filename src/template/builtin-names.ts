/** The functions of Go's text/template; SPIRE's controller adds none. */
const NAMES =
  "and call html index slice js len not or print printf println urlquery eq ge gt le lt ne";

export const BUILTIN_NAMES: ReadonlySet<string> = new Set(NAMES.split(" "));
