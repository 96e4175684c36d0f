import { describe, expect, it } from "vitest";
import type { IssueFailure, Issued } from "../../src/inspect/ports.ts";
import { createIssueLog } from "../../src/issuer/issue-log.ts";
import { fakePod, fakeRegistry } from "../fakes/registry.ts";

const issued = (at: number): Issued => ({
  by: "renew",
  at,
  notAfter: at + 1000,
  spiffeIds: ["id"],
});
const failure = (at: number, message = "no"): IssueFailure => ({
  by: "attest",
  at,
  code: "NO_IDENTITY",
  message,
});

describe("the issue log", () => {
  it("keeps the last of each, one beside the other", () => {
    const log = createIssueLog(fakeRegistry());
    log.recordFailure("a", failure(1));
    log.recordIssued("a", issued(2));
    log.recordIssued("a", issued(3));
    log.recordFailure("b", failure(4));
    expect(log.of("a")).toEqual({ issued: issued(3), failed: failure(1) });
    expect(log.of("b")).toEqual({ failed: failure(4) });
    expect(log.of("c")).toEqual({});
  });

  it("keeps tokens and certificates apart", () => {
    const log = createIssueLog(fakeRegistry());
    const jwt = { ...issued(3), by: "issueJwt" as const };
    log.recordIssued("a", issued(2));
    log.recordIssued("a", jwt);
    expect(log.of("a")).toEqual({ issued: issued(2), issuedJwt: jwt });
  });

  it("forgets a pod that ends, until it is closed", () => {
    const registry = fakeRegistry();
    const log = createIssueLog(registry);
    registry.setPod(fakePod("web"));
    log.recordIssued("uid-web", issued(1));
    registry.removePod("uid-web");
    expect(log.size).toBe(0);
    log.close();
    log.recordIssued("uid-web", issued(1));
    registry.removePod("uid-web");
    expect(log.size).toBe(1);
  });

  it("forgets the pod it heard of longest ago when it is full", () => {
    const log = createIssueLog(fakeRegistry(), 2);
    log.recordIssued("a", issued(1));
    log.recordIssued("b", issued(2));
    log.recordFailure("a", failure(3));
    log.recordIssued("c", issued(4));
    expect(log.size).toBe(2);
    expect(log.of("b")).toEqual({});
    expect(log.of("a").issued).toEqual(issued(1));
  });

  it("cuts what is said to a kilobyte", () => {
    const log = createIssueLog(fakeRegistry());
    log.recordFailure("a", failure(1, "x".repeat(10_000)));
    expect(log.of("a").failed?.message).toHaveLength(1024);
  });
});
