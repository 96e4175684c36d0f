import { expect, test } from "vitest";
import { uriSans } from "../../src/agent/uri-san.ts";

test("URI names are told apart from other names", () => {
  const text = "DNS:web.default.svc, URI:spiffe://test.local/web, IP Address:10.0.0.1, URI:x:y";
  expect(uriSans(text)).toEqual(["spiffe://test.local/web", "x:y"]);
});

test("a certificate without names has no URI", () => {
  expect(uriSans(undefined)).toEqual([]);
  expect(uriSans("DNS:a")).toEqual([]);
});

test("a URI inside a quoted name does not count", () => {
  expect(uriSans('DNS:"a, URI:spiffe://test.local/signet/operator"')).toEqual([]);
  expect(uriSans('URI:"spiffe://a\\u002c b", DNS:c')).toEqual(["spiffe://a, b"]);
});

test.each([
  'DNS:a", URI:spiffe://b',
  "URI:spiffe://a,URI:spiffe://b",
  'URI:"spiffe://a',
  "nothing",
  'URI:"\\x"',
])("an ambiguous text is refused: %s", (text) => {
  expect(() => uriSans(text)).toThrow(expect.objectContaining({ code: "MALFORMED" }));
});
