import { describe, expect, it } from "vitest";
import {
  admitAgent,
  checkNotEnding,
  checkPod,
  checkPodToken,
  checkServiceAccount,
} from "../../src/issuer/attestation.ts";
import type { TokenClaims } from "../../src/issuer/tokens.ts";
import type { PodObject } from "../../src/registration/objects.ts";

const account = { namespace: "signet-system", serviceAccount: "signet-agent" };
const agentClaims: TokenClaims = {
  ...account,
  podName: "signet-agent-x",
  podUid: "uid-agent",
  nodeName: "node-a",
  expiresAt: 1,
};
const podClaims: TokenClaims = {
  namespace: "shop",
  serviceAccount: "cart",
  podName: "cart-0",
  podUid: "uid-cart",
  nodeName: "node-a",
  expiresAt: 1,
};
const agent = { nodeName: "node-a", podUid: "uid-agent", expiresAt: 1 };
const pod: PodObject = {
  metadata: { name: "cart-0", namespace: "shop", uid: "uid-cart" },
  spec: { nodeName: "node-a", serviceAccountName: "cart" },
  status: { phase: "Pending" },
};
const denied = expect.objectContaining({ code: "PERMISSION_DENIED" }) as Error;
const gone = expect.objectContaining({ code: "POD_GONE" }) as Error;

describe("admitAgent", () => {
  it("takes the node from the token", () => {
    expect(admitAgent(agentClaims, account, () => "node-b").nodeName).toBe("node-a");
  });

  it("looks the node up where the token names none, and refuses when nobody knows it", () => {
    const unbound = { ...agentClaims, nodeName: undefined };
    expect(
      admitAgent(unbound, account, (uid) => (uid === "uid-agent" ? "node-b" : undefined)).nodeName,
    ).toBe("node-b");
    expect(() => admitAgent(unbound, account, () => undefined)).toThrow(denied);
  });

  it("refuses any other service account, also one of the same name elsewhere", () => {
    expect(() => admitAgent(podClaims, account, () => undefined)).toThrow(denied);
    expect(() =>
      admitAgent({ ...agentClaims, namespace: "shop" }, account, () => undefined),
    ).toThrow(denied);
    expect(() =>
      admitAgent({ ...agentClaims, serviceAccount: "default" }, account, () => undefined),
    ).toThrow(denied);
  });
});

describe("checkPodToken", () => {
  it("takes the pod's own token on the agent's node", () => {
    expect(() => checkPodToken(podClaims, "uid-cart", agent)).not.toThrow();
  });

  it("refuses another pod's token and a token of another node", () => {
    expect(() => checkPodToken(podClaims, "uid-other", agent)).toThrow(denied);
    expect(() => checkPodToken({ ...podClaims, nodeName: "node-b" }, "uid-cart", agent)).toThrow(
      denied,
    );
  });
});

describe("checkServiceAccount", () => {
  it("refuses a token made for another service account or namespace", () => {
    expect(() => checkServiceAccount(podClaims, pod)).not.toThrow();
    expect(() => checkServiceAccount({ ...podClaims, serviceAccount: "admin" }, pod)).toThrow(
      denied,
    );
    expect(() => checkServiceAccount({ ...podClaims, namespace: "other" }, pod)).toThrow(denied);
  });

  it("reads an absent service account as default", () => {
    const plain: PodObject = { ...pod, spec: { nodeName: "node-a" } };
    expect(() =>
      checkServiceAccount({ ...podClaims, serviceAccount: "default" }, plain),
    ).not.toThrow();
  });
});

describe("checkPod", () => {
  it("takes a living pod of the agent's node", () => {
    expect(checkPod(pod, "uid-cart", agent)).toBe(pod);
  });

  it("refuses a pod of another node, and one that has no node yet", () => {
    expect(() => checkPod({ ...pod, spec: { nodeName: "node-b" } }, "uid-cart", agent)).toThrow(
      denied,
    );
    expect(() => checkPod({ ...pod, spec: {} }, "uid-cart", agent)).toThrow(denied);
  });

  it("says POD_GONE for a pod that is unknown or finished", () => {
    expect(() => checkPod(undefined, "uid-cart", agent)).toThrow(gone);
    for (const phase of ["Succeeded", "Failed"]) {
      expect(() => checkPod({ ...pod, status: { phase } }, "uid-cart", agent)).toThrow(gone);
    }
  });
});

it("gives a pod that is being deleted no first identity", () => {
  const ending = {
    ...pod,
    metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
  };
  expect(() => checkNotEnding(ending)).toThrow(gone);
});
