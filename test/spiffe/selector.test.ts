import { expect, it } from "vitest";
import { formatSelector, parseSelector } from "../../src/spiffe/selector.ts";

it("splits at the first colon only", () => {
  const selector = parseSelector("k8s:pod-label:app:web");
  expect(selector).toEqual({ type: "k8s", value: "pod-label:app:web" });
  expect(formatSelector(selector)).toBe("k8s:pod-label:app:web");
});

it.each(["k8s", ":value", "k8s:", ""])("refuses %j", (text) => {
  expect(() => parseSelector(text)).toThrow(
    expect.objectContaining({ code: "INVALID_SPEC" }) as Error,
  );
});
