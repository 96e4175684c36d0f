/** RFC 7519 §4.1. All others are private to the trust domain that issued the token. */
export const REGISTERED_CLAIMS: ReadonlySet<string> = new Set([
  ...["iss", "sub", "aud", "exp"],
  ...["nbf", "iat", "jti"],
]);

/** More audiences in one token, or longer ones, than anything needs. */
export const MAX_AUDIENCES = 64;
export const MAX_AUDIENCE_BYTES = 2048;
/** All audiences together: a token has to fit into the header of a request. */
export const MAX_AUDIENCES_BYTES = 8192;
