import { expect, it } from "vitest";
import { isSignetError, SignetError, toSignetError } from "../../src/core/errors.ts";

it("keeps a SignetError and gives anything else the code INTERNAL with its cause", () => {
  const known = new SignetError("POD_GONE", "gone");
  expect(toSignetError(known)).toBe(known);
  const unknown = toSignetError(new TypeError("odd"));
  expect(unknown).toMatchObject({ code: "INTERNAL", message: "odd" });
  expect(unknown.cause).toBeInstanceOf(TypeError);
});

it("tells codes apart", () => {
  const error = new SignetError("CONFLICT", "changed");
  expect(isSignetError(error)).toBe(true);
  expect(isSignetError(error, "NOT_FOUND", "CONFLICT")).toBe(true);
  expect(isSignetError(error, "NOT_FOUND")).toBe(false);
  expect(isSignetError(new Error("changed"))).toBe(false);
});
