import * as fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { decodeRecord, encodeBundles, encodeIdentity } from "../../src/csi/identity-record.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { bundleOf, makeRichIdentity } from "./identities.ts";

let rich: WorkloadIdentity;
beforeAll(async () => {
  const all = { hints: ["", "b"], federated: ["o.org", "p.org"], audiences: ["a", "b"] };
  rich = await makeRichIdentity(all);
});

test("an identity is read back as it was, with all that belongs to it", () => {
  const { identity, bundles } = decodeRecord(encodeIdentity(rich, { "signet.dev/files": "jks" }));
  expect(identity).toEqual(rich);
  expect(bundles).toEqual({ bundle: rich.bundle, federatedBundles: rich.federatedBundles });
});

test("any identity is read back as it was", () => {
  const text = fc.string();
  const time = fc.nat();
  const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
  const bundle = fc
    .record({
      name: fc.stringMatching(/^[a-z]{1,9}$/),
      ders: fc.array(bytes, { maxLength: 3 }),
      sequence: fc.nat(),
    })
    .map(({ name, ders, sequence }) => ({ ...bundleOf(name, ders), sequence }));
  const change = fc.record({
    hint: text,
    entryId: text,
    revision: text,
    notBefore: time,
    notAfter: time,
    federatesWith: fc.array(text),
  });
  const token = fc.record({
    audience: text,
    spiffeId: text,
    token: text,
    issuedAt: time,
    expiresAt: time,
  });
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      bundle,
      fc.array(bundle, { maxLength: 3 }),
      fc.array(token, { maxLength: 3 }),
      (changes, own, federatedBundles, tokens) => {
        const [svid] = rich.svids;
        if (svid === undefined) throw new Error("no SVID");
        const svids = changes.map((given) => ({ ...svid, ...given }));
        const identity = {
          svids,
          privateKey: rich.privateKey,
          bundle: own,
          federatedBundles,
          tokens,
        };
        expect(decodeRecord(encodeIdentity(identity, {})).identity).toEqual(identity);
      },
    ),
  );
});

test("without an identity nothing secret is written, and that there is none is read back", () => {
  const record = encodeBundles(rich, {});
  expect(decodeRecord(record)).toEqual({
    identity: undefined,
    bundles: { bundle: rich.bundle, federatedBundles: rich.federatedBundles },
  });
  const text = record.toString();
  expect(text).not.toContain(rich.privateKey.toString("base64").slice(0, 40));
  expect(text).not.toContain(rich.tokens[0]?.token);
  expect(text).not.toContain("spiffe://");
});

test("records differ with the identity and with the layout", () => {
  const record = encodeIdentity(rich, {});
  expect(encodeIdentity(rich, {})).toEqual(record);
  expect(encodeIdentity(rich, { "signet.dev/uid": "7" })).not.toEqual(record);
  expect(encodeIdentity({ ...rich, tokens: [] }, {})).not.toEqual(record);
  const bundle = { ...rich.bundle, sequence: 99 };
  expect(encodeIdentity({ ...rich, bundle }, {})).not.toEqual(record);
});

test("a key that is not the certificate's is refused", async () => {
  const { privateKey } = await makeRichIdentity();
  const record = encodeIdentity({ ...rich, privateKey }, {});
  expect(() => decodeRecord(record)).toThrow(expect.objectContaining({ code: "MALFORMED" }));
});

function expectSilentRefusal(record: Buffer, secret: string): void {
  let thrown: unknown;
  try {
    decodeRecord(record);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "MALFORMED" });
  expect((thrown as Error).cause).toBeUndefined();
  expect((thrown as Error).message).not.toContain(secret);
}

test("a record that was cut or bent is refused without being quoted", () => {
  const record = encodeIdentity(rich, {});
  const secret = rich.privateKey.toString("base64").slice(0, 8);
  fc.assert(
    fc.property(fc.nat(record.length - 2), fc.constantFrom("cut", "bend"), (at, how) => {
      const bent = Buffer.from(record);
      bent[at] = 0;
      expectSilentRefusal(how === "cut" ? record.subarray(0, at) : bent, secret);
    }),
  );
  for (const text of ["", "{}", "null", "[]", '{"version":2}']) {
    expect(() => decodeRecord(Buffer.from(text))).toThrow(/cannot be read/);
  }
});
