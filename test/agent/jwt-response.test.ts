import { create } from "@bufbuild/protobuf";
import { beforeAll, expect, test } from "vitest";
import { jwtSvidsFrom } from "../../src/agent/jwt-response.ts";
import { IssueJwtResponseSchema } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { jwtSvidValidator } from "../../src/workload-api/jwt-validation.ts";
import { testJwtAuthority } from "../fakes/jwt-authority.ts";
import type { TestJwtAuthority } from "../fakes/jwt-authority.ts";
import { bundleOf } from "./fixture.ts";

const NOW = 1_800_000_000_000;
const IAT = NOW / 1000;
const WEB = "spiffe://test.local/web";
let key: TestJwtAuthority;
let other: TestJwtAuthority;
beforeAll(async () => {
  key = await testJwtAuthority("k1");
  other = await testJwtAuthority("k1");
});

interface Answer {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly signer?: TestJwtAuthority;
  readonly spiffeId?: string;
  readonly token?: string;
}

async function answer({ claims = {}, header = {}, signer = key, spiffeId = WEB, token }: Answer) {
  const said = { sub: WEB, aud: ["api"], iat: IAT, exp: IAT + 300, ...claims };
  const signed = token ?? (await signer.sign(said, header));
  // Times beside the token are for others; what counts is in it.
  const times = { issuedAt: 1n, expiresAt: 2n };
  return create(IssueJwtResponseSchema, {
    svids: [{ entryId: "e1", revision: "r1", spiffeId, token: signed, hint: "internal", ...times }],
  });
}

const context = (audiences: readonly string[] = ["api"], spiffeId: string | undefined = WEB) => ({
  audiences,
  spiffeId,
  bundle: { ...bundleOf([]), jwtAuthorities: [key.jwk] },
  now: NOW,
  verify: jwtSvidValidator(),
});

test("a token that verifies is taken with its own times and key", async () => {
  const response = await answer({});
  await expect(jwtSvidsFrom(response, context())).resolves.toEqual([
    {
      entryId: "e1",
      revision: "r1",
      spiffeId: WEB,
      token: response.svids[0]?.token,
      keyId: "k1",
      hint: "internal",
      issuedAt: NOW,
      expiresAt: NOW + 300_000,
    },
  ]);
});

test("several audiences may come in any order, and a single one as a string", async () => {
  const two = await answer({ claims: { aud: ["b", "a"] } });
  await expect(jwtSvidsFrom(two, context(["a", "b"]))).resolves.toHaveLength(1);
  const one = await answer({ claims: { aud: "api" } });
  await expect(jwtSvidsFrom(one, context())).resolves.toHaveLength(1);
});

const wrong: [string, Answer | (() => Answer)][] = [
  ["signed by another key", () => ({ signer: other })],
  ["of a key that is not in the bundle", { header: { kid: "k2" } }],
  ["of another subject than it is said to be", { claims: { sub: "spiffe://test.local/admin" } }],
  [
    "of an identity that was not asked for",
    {
      claims: { sub: "spiffe://test.local/admin" },
      spiffeId: "spiffe://test.local/admin",
    },
  ],
  [
    "of a foreign trust domain",
    { claims: { sub: "spiffe://evil/web" }, spiffeId: "spiffe://evil/web" },
  ],
  ["of what is no SPIFFE ID", { spiffeId: "web" }],
  ["for another audience", { claims: { aud: ["other"] } }],
  ["for one audience more", { claims: { aud: ["api", "other"] } }],
  ["without audience", { claims: { aud: [] } }],
  ["that has expired", { claims: { exp: IAT } }],
  ["without expiry", { claims: { exp: undefined } }],
  ["that is no JWS", { token: "a.b" }],
  ["that is endless", { token: `a.${"b".repeat(300_000)}.c` }],
];

test.each(wrong)("a token %s is refused, and not shown", async (_name, given) => {
  const response = await answer(typeof given === "function" ? given() : given);
  const error: unknown = await jwtSvidsFrom(response, context()).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: expect.stringMatching(/MALFORMED|INVALID_SPIFFE_ID/) });
  expect(String(error)).not.toContain(response.svids[0]?.token);
});

test("an answer with no token or too many is refused", async () => {
  const none = create(IssueJwtResponseSchema, {});
  await expect(jwtSvidsFrom(none, context())).rejects.toThrow(/no JWT-SVID/);
  const [svid] = (await answer({})).svids;
  const many = create(IssueJwtResponseSchema, {
    svids: Array.from({ length: 65 }, () => ({ ...svid, $typeName: undefined })) as never,
  });
  await expect(jwtSvidsFrom(many, context())).rejects.toThrow(/more than 64/);
});
