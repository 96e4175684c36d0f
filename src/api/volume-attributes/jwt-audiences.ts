import { faulty, quote } from "./fault.ts";
import type { WrittenValue } from "./fault.ts";
import { isFileName, sanitizeName } from "./file-name.ts";

/** A JWT-SVID that lies in the volume as `jwt/<name>`. */
export interface JwtFile {
  readonly name: string;
  readonly audience: string;
}

const MAX_AUDIENCES = 16;
const MAX_AUDIENCE_BYTES = 256;

/**
 * Reads `[<file name>=]<audience>,…`. What stands before the first `=` is a file name only when it can be one,
 * so that an audience may be a URL with a query. Without a name the file is called as the audience, with `_` for
 * what a file name cannot hold. Throws INVALID_ARGUMENT.
 */
export function readJwtAudiences(value: WrittenValue): readonly JwtFile[] {
  const parts = value.text.split(",");
  if (parts.length > MAX_AUDIENCES) {
    throw faulty(value, `must name at most ${MAX_AUDIENCES} audiences`);
  }
  const files = parts.map((part) => readJwtFile(value, part.trim()));
  files.forEach((file, at) => {
    const other = files.slice(0, at).find(({ name }) => name === file.name);
    if (other !== undefined) {
      const both = `${quote(other.audience)} and ${quote(file.audience)}`;
      const way = "give one another name as <file name>=<audience>";
      throw faulty(value, `puts ${both} into the same file jwt/${file.name}; ${way}`);
    }
    if (files.slice(0, at).some(({ audience }) => audience === file.audience)) {
      throw faulty(
        value,
        `names the audience ${quote(file.audience)} twice; leave one of them out`,
      );
    }
  });
  return files;
}

function readJwtFile(value: WrittenValue, part: string): JwtFile {
  const [, given, rest] = /^([A-Za-z0-9._-]+)=(.*)$/s.exec(part) ?? [];
  const audience = rest ?? part;
  // oxlint-disable-next-line no-control-regex
  if (audience === "" || /[\s\u0000-\u001f\u007f]/.test(audience)) {
    throw faulty(value, `has an audience that is empty or holds spaces: ${quote(audience)}`);
  }
  if (Buffer.byteLength(audience) > MAX_AUDIENCE_BYTES) {
    throw faulty(value, `has an audience of more than ${MAX_AUDIENCE_BYTES} bytes`);
  }
  const name = given ?? sanitizeName(audience);
  if (isFileName(name)) return { name, audience };
  const way = "write <file name>=<audience> with a name of letters, digits, dots, dashes and _";
  throw faulty(value, `cannot have a file jwt/${name.slice(0, 64)} for ${quote(audience)}; ${way}`);
}
