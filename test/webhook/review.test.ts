import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSignetError, SignetError } from "../../src/core/errors.ts";
import { allow, parseReview, refuse, refuseInvalid } from "../../src/webhook/review.ts";
import { reviewOf } from "./reviews.ts";

function isReviewOrRefused(body: string): boolean {
  try {
    return parseReview(body).uid !== "";
  } catch (error) {
    return isSignetError(error, "INVALID_ARGUMENT");
  }
}

describe("parseReview", () => {
  it("reads what the API server sends", () => {
    expect(parseReview(JSON.stringify(reviewOf({ spec: {} })))).toMatchObject({
      uid: "705ab4f5-6393-11e8-b7cc-42010a800002",
      kind: { group: "", version: "v1", kind: "Pod" },
      operation: "CREATE",
      subResource: "",
      name: "",
      namespace: "shop",
      dryRun: false,
      object: { spec: {} },
      oldObject: null,
    });
  });

  it.each([
    ["", "body is not JSON"],
    ["{", "body is not JSON"],
    ["null", "not an AdmissionReview of admission.k8s.io/v1: (root)"],
    ["{}", "apiVersion"],
    ['{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}', "apiVersion"],
    ['{"apiVersion":"admission.k8s.io/v1","kind":"Pod"}', "kind"],
    ['{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "request"],
  ])("refuses %j and says why", (body, why) => {
    expect(() => parseReview(body)).toThrow(why);
  });

  it("refuses a request without uid, which could not be answered", () => {
    const review = reviewOf({});
    const body = JSON.stringify({ ...review, request: { ...review.request, uid: "" } });
    expect(() => parseReview(body)).toThrow("request.uid");
  });

  it("throws nothing but INVALID_ARGUMENT, whatever the JSON", () => {
    fc.assert(
      fc.property(fc.json(), (body) => {
        expect(isReviewOrRefused(body)).toBe(true);
      }),
    );
  });
});

describe("allow", () => {
  it("names neither patch nor patch type when there is nothing to change", () => {
    expect(allow("u", { patch: [] })).toEqual({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      response: { uid: "u", allowed: true },
    });
  });

  it("carries the patch in base64", () => {
    const patch = [{ op: "add" as const, path: "/spec/volumes", value: [{ name: "ü" }] }];
    const { response } = allow("u", { patch });
    expect(response).toMatchObject({ uid: "u", allowed: true, patchType: "JSONPatch" });
    const decoded = Buffer.from(response.patch ?? "", "base64").toString("utf8");
    expect(JSON.parse(decoded)).toEqual(patch);
  });
});

describe("warnings of a review", () => {
  it("come beside a patch, cut to what Kubernetes passes on", () => {
    const patch = [{ op: "add" as const, path: "/spec/volumes", value: [] }];
    const { response } = allow("u", { patch, warnings: ["a\nb", "x".repeat(300)] });
    expect(response.warnings).toEqual(["a b", `${"x".repeat(255)}…`]);
    expect(response.patchType).toBe("JSONPatch");
  });

  it("are left out when there are none", () => {
    expect(allow("u", { patch: [], warnings: [] }).response).toEqual({ uid: "u", allowed: true });
  });
});

describe("refuseInvalid", () => {
  it("has the form of the API server's own validation, field by field", () => {
    const invalid = {
      group: "spire.spiffe.io",
      kind: "ClusterSPIFFEID",
      name: "shop",
      message: 'ClusterSPIFFEID "shop" is invalid: spec.ttl: "soon" is not a duration',
      causes: [{ field: "spec.ttl", message: '"soon" is not a duration' }],
    };
    const { message, causes, ...object } = invalid;
    expect(refuseInvalid("u", invalid).response).toEqual({
      uid: "u",
      allowed: false,
      status: {
        code: 422,
        reason: "Invalid",
        message,
        details: { ...object, causes: [{ reason: "FieldValueInvalid", ...causes[0] }] },
      },
    });
  });
});

describe("refuse", () => {
  it("carries the sentence and the HTTP code of the error", () => {
    const error = new SignetError("INVALID_ARGUMENT", "annotation x is wrong");
    expect(refuse("u", error).response).toEqual({
      uid: "u",
      allowed: false,
      status: { code: 400, message: "annotation x is wrong" },
    });
  });
});
