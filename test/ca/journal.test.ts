import { inspect } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import {
  activeAuthority,
  activeX509Authority,
  authoritiesOf,
  decodeJournal,
  emptyJournal,
  encodeJournal,
  x509Authorities,
} from "../../src/ca/journal.ts";
import type { Journal } from "../../src/ca/journal.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { DAY, NOW, thrown, TRUST_DOMAIN } from "./oracle.ts";

let journal: Journal;
/** The same with JWT authorities: at 1 the active, at 3 the prepared one. */
let withJwt: Journal;
beforeAll(async () => {
  const first = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, { ttlMs: DAY });
  journal = (await rotateJournal(first.journal, NOW + DAY / 2, { ttlMs: DAY })).journal;
  const options = { ttlMs: DAY, jwt: { algorithm: "ES256", ttlMs: DAY } } as const;
  const both = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, options);
  withJwt = (await rotateJournal(both.journal, NOW + DAY / 2, options)).journal;
});

const decode = (text: string) => decodeJournal(text, TRUST_DOMAIN);
const json = (): any => JSON.parse(encodeJournal(journal));
const refusal = async (change: (value: any) => void) => {
  const value = json();
  change(value);
  return thrown(() => decode(JSON.stringify(value)));
};

describe("the CA journal", () => {
  it("comes back the same from its text", () => {
    expect(decode(encodeJournal(journal))).toEqual(journal);
    expect(decode(encodeJournal(emptyJournal(TRUST_DOMAIN)))).toEqual(emptyJournal(TRUST_DOMAIN));
  });

  it("finds its authorities by status", () => {
    expect(x509Authorities(journal).map(({ status }) => status)).toEqual(["active", "prepared"]);
    expect(x509Authorities(journal, "prepared")).toHaveLength(1);
    expect(activeX509Authority(journal)).toBe(journal.authorities[0]);
    expect(activeX509Authority(emptyJournal(TRUST_DOMAIN))).toBeUndefined();
  });

  it("keeps authorities of unknown kinds and unknown members through decoding and encoding", () => {
    const value = json();
    value.later = { a: 1 };
    value.authorities[0].note = "kept";
    value.authorities[0].tainted = false;
    value.authorities.splice(1, 0, {
      kind: "wit",
      id: "k1",
      status: "active",
      privateKey: "x",
      chain: [1, { deep: [] }],
    });
    expect(JSON.parse(encodeJournal(decode(JSON.stringify(value))))).toEqual(value);
  });

  it("keeps JWT authorities beside the X.509 ones", () => {
    expect(decode(encodeJournal(withJwt))).toEqual(withJwt);
    const standings = withJwt.authorities.map(({ kind, status }) => [kind, status]);
    expect(standings).toEqual([
      ["x509", "active"],
      ["jwt", "active"],
      ["x509", "prepared"],
      ["jwt", "prepared"],
    ]);
    expect(activeAuthority(withJwt, "jwt")).toBe(withJwt.authorities[1]);
    expect(authoritiesOf(withJwt, "jwt", "prepared")).toEqual([withJwt.authorities[3]]);
  });

  it.each<[string, (value: any) => void, string]>([
    ["status", (value) => (value.authorities[3].status = "new"), "authorities.3.status"],
    ["algorithm", (value) => (value.authorities[1].algorithm = "HS256"), "authorities.1.algorithm"],
    ["ID", (value) => (value.authorities[1].id = "kid"), "authorities.1.id"],
    ["activation", (value) => delete value.authorities[1].activatedAt, "activatedAt"],
    ["end", (value) => delete value.authorities[1].notAfter, "authorities.1.notAfter"],
    ["double", (value) => value.authorities.push(value.authorities[1]), "two authorities with one"],
    [
      "second active",
      (value) => Object.assign(value.authorities[3], { status: "active", activatedAt: 1 }),
      "two active",
    ],
    ["sequence", (value) => (value.authorities[3].sequence = 9), "newer than its sequence"],
    [
      "key",
      (value) => (value.authorities[3].privateKey = value.authorities[1].privateKey),
      "is not the thumbprint",
    ],
  ])(
    "is refused for a JWT authority with a bad %s, and says where",
    async (_name, change, place) => {
      const value = JSON.parse(encodeJournal(withJwt));
      change(value);
      expect(await thrown(() => decode(JSON.stringify(value)))).toMatchObject({
        code: "MALFORMED",
        message: expect.stringContaining(place),
      });
    },
  );

  it("carries upstream chains without another version", () => {
    const value = json();
    const [active] = value.authorities;
    active.chain = [];
    active.roots = [value.authorities[1].certificate];
    expect(decode(JSON.stringify(value)).authorities[0]).toMatchObject({
      chain: [],
      roots: active.roots,
    });
  });

  it("is refused when it is of another trust domain", async () => {
    const error = await thrown(() =>
      decodeJournal(encodeJournal(journal), parseTrustDomain("other.org")),
    );
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringContaining("example.org, not other.org"),
    });
  });

  it("is refused when a newer program wrote it", async () => {
    const error = await refusal((value) => (value.version = 2));
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringContaining("version 2"),
    });
  });

  it.each<[string, (value: any) => void, string]>([
    ["version", (value) => (value.version = 0), "version"],
    ["missing list", (value) => delete value.authorities, "authorities"],
    ["sequence", (value) => (value.sequence = -1), "sequence"],
    ["status", (value) => (value.authorities[1].status = "new"), "authorities.1.status"],
    ["key type", (value) => (value.authorities[0].keyType = "ed25519"), "authorities.0.keyType"],
    ["missing kind", (value) => delete value.authorities[0].kind, "authorities.0.kind"],
    ["ID", (value) => (value.authorities[0].id = "zz"), "authorities.0.id"],
    ["activation", (value) => delete value.authorities[0].activatedAt, "activatedAt"],
    ["order of times", (value) => (value.authorities[0].notAfter = 0), "notBefore must be before"],
    ["empty roots", (value) => (value.authorities[0].roots = []), "authorities.0.roots"],
    [
      "double",
      (value) => value.authorities.push(value.authorities[0]),
      "two authorities with one ID",
    ],
    [
      "two active",
      (value) => Object.assign(value.authorities[1], { status: "active", activatedAt: 1 }),
      "two active",
    ],
    ["late sequence", (value) => (value.sequence = 1), "newer than its sequence"],
    ["broken root", (value) => (value.authorities[0].roots = ["-----BEGIN X"]), "no PEM block"],
    [
      "wrong key",
      (value) => (value.authorities[1].privateKey = value.authorities[0].privateKey),
      "private key is not that of",
    ],
  ])("is refused for a bad %s, and says where", async (_name, change, place) => {
    expect(await refusal(change)).toMatchObject({
      code: "MALFORMED",
      message: expect.stringContaining(place),
    });
  });

  it.each(["", "null", "[]", "7", "{}"])("is refused when it is %j", async (text) => {
    expect(await thrown(() => decode(text))).toMatchObject({ code: "MALFORMED" });
  });

  it("is refused above 1 MiB", async () => {
    expect(await thrown(() => decode(" ".repeat(1024 * 1024 + 1)))).toMatchObject({
      code: "MALFORMED",
    });
  });

  it("shows no part of a key in any refusal", async () => {
    const secret = (journal.authorities[0] as { privateKey: string }).privateKey.split("\n")[1]!;
    const torn = `{"privateKey": "${secret}" "`;
    const errors = [
      await thrown(() => decode(torn)),
      await thrown(() => decode(`${secret}${encodeJournal(journal)}`)),
      await refusal((value) => (value.authorities[0].certificate = secret)),
      await refusal((value) => (value.authorities[0].privateKey = secret)),
      await refusal(
        (value) => (value.authorities[0].privateKey = `-----BEGIN PRIVATE KEY-----\n${secret}`),
      ),
    ];
    for (const error of errors)
      expect(inspect(error, { depth: 9 })).not.toContain(secret.slice(0, 8));
  });
});
