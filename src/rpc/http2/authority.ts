import type { HeaderField } from "./hpack.ts";

/** What is put in the place of an authority that Node.js would refuse; it means nothing on a unix socket. */
const REPLACEMENT = "localhost";

/** The characters that nghttp2, Node.js's HTTP/2, allows in an authority. */
const ALLOWED = /^[A-Za-z0-9!$%&'()*+,\-.:;=[\]_~]+$/;

/**
 * Tells whether Node.js takes a request with these headers as far as its authority goes: one `:authority`, or
 * without it one `host`; it overlooks a `host` that it cannot read. Trailers, which have no authority, are fine.
 */
export function hasAcceptableAuthority(fields: readonly HeaderField[]): boolean {
  if (!isRequest(fields)) return true;
  const authorities = fields.filter(({ name }) => name === ":authority");
  const hosts = fields.filter(
    ({ name, value }) => name === "host" && (value === "" || ALLOWED.test(value)),
  );
  if (authorities.length > 1 || hosts.length > 1 || hosts[0]?.value === "") return false;
  return (
    authorities.length + hosts.length > 0 && authorities.every(({ value }) => ALLOWED.test(value))
  );
}

/** The headers with an authority that is accepted; headers that need no change are given back as they are. */
export function withAcceptableAuthority(fields: readonly HeaderField[]): readonly HeaderField[] {
  if (hasAcceptableAuthority(fields)) return fields;
  const others = fields.filter(({ name }) => name !== ":authority" && name !== "host");
  // Pseudo-headers come before all others (RFC 9113 §8.3).
  const pseudo = others.filter(({ name }) => name.startsWith(":"));
  const plain = others.filter(({ name }) => !name.startsWith(":"));
  return [...pseudo, { name: ":authority", value: REPLACEMENT, neverIndexed: false }, ...plain];
}

function isRequest(fields: readonly HeaderField[]): boolean {
  return fields.some(({ name }) => name === ":method");
}
