import { describe, expect, it } from "vitest";
import { kindConfig, nodeNames } from "./config.ts";
import { chooseEngine, chooseImages } from "./decisions.ts";
import { runningContainer } from "./faults.ts";
import { removalOf } from "./firewall.ts";
import { goIsNewEnough } from "./go-tools.ts";
import { fullReference, isLoaded } from "./images.ts";
import { locations } from "./locations.ts";
import { connectScript, nodeAddresses } from "./network.ts";
import { nodesReady, podsReady, renewed } from "./readiness.ts";
import { stepKey } from "./steps.ts";

describe("the choice of the Docker engine", () => {
  const bare = { machineEngineAnswers: false, isLinux: true, isDebian: true, isRoot: true };

  it("takes the machine's engine where it answers, root or not", () => {
    const laptop = { ...bare, machineEngineAnswers: true, isRoot: false, isDebian: false };
    expect(chooseEngine(laptop)).toEqual({ kind: "machine" });
  });

  it("runs its own as root on Debian", () => {
    expect(chooseEngine(bare)).toEqual({ kind: "own" });
  });

  it.each([{ isRoot: false }, { isDebian: false }, { isLinux: false }])(
    "says what to install where it may not: %o",
    (change) => {
      const choice = chooseEngine({ ...bare, ...change });
      expect(choice).toMatchObject({
        kind: "none",
        reason: expect.stringContaining("install Docker"),
      });
    },
  );
});

describe("the choice of the node image", () => {
  const facts = {
    publishedNodeImage: true,
    ownEngine: false,
    isRoot: false,
    isDebian: false,
    privilegedWorks: true,
  };
  const builder = { ...facts, publishedNodeImage: false, isRoot: true, isDebian: true };

  it("takes the published one where it can be pulled", () => {
    expect(chooseImages(facts)).toEqual({ kind: "published" });
  });

  it("makes one on the same engine where it cannot", () => {
    expect(chooseImages(builder)).toEqual({ kind: "made", engine: "this" });
  });

  it("makes one on an own engine where the machine's cannot run privileged containers", () => {
    const choice = chooseImages({ ...builder, privilegedWorks: false });
    expect(choice).toEqual({ kind: "made", engine: "own" });
  });

  it("refuses with the reason where it can do neither", () => {
    expect(chooseImages({ ...builder, isRoot: false })).toMatchObject({ kind: "none" });
  });
});

describe("the kind configuration", () => {
  const shape = { name: "c", workers: 2, shared: "/cache/images", made: true };

  it("switches on the certificate APIs and their gates", () => {
    expect(JSON.parse(kindConfig(shape))).toMatchObject({
      featureGates: {
        PodCertificateRequest: true,
        ClusterTrustBundle: true,
        ClusterTrustBundleProjection: true,
      },
      runtimeConfig: {
        "certificates.k8s.io/v1beta1/podcertificaterequests": "true",
        "certificates.k8s.io/v1beta1/clustertrustbundles": "true",
      },
      nodes: [{ role: "control-plane" }, { role: "worker" }, { role: "worker" }],
    });
  });

  it("leaves kind's own network and cgroups alone with the published image", () => {
    const text = kindConfig({ ...shape, made: false });
    expect(text).not.toContain("disableDefaultCNI");
    expect(text).not.toContain("failCgroupV1");
    expect(kindConfig(shape)).toContain("disableDefaultCNI");
  });

  it("knows the names that kind gives to nodes", () => {
    expect(nodeNames("c", 2)).toEqual(["c-control-plane", "c-worker", "c-worker2"]);
  });
});

describe("the key of a step", () => {
  it("changes with every input, with their order and with their borders", () => {
    const keys = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["ab", ""]].map(stepKey);
    expect(new Set(keys).size).toBe(5);
    expect(stepKey(["a", "b"])).toBe(keys[0]);
  });
});

describe("the folders", () => {
  it("follow SIGNET_CACHE before XDG_CACHE_HOME", () => {
    expect(locations({ SIGNET_CACHE: "/a", XDG_CACHE_HOME: "/b" }).cache).toBe("/a");
    expect(locations({ XDG_CACHE_HOME: "/b" }).cache).toBe("/b/signet");
  });

  it("give every cache an engine of its own", () => {
    expect(engineRunOf("/a")).not.toBe(engineRunOf("/b"));
  });
});

describe("the Go release", () => {
  it.each([
    ["go1.26.0", true],
    ["go1.27.1", true],
    ["go1.26", true],
    ["go1.25.9", false],
    ["go1.9.7", false],
    ["devel", false],
  ])("%s is new enough for 1.26.0: %s", (release, expected) => {
    expect(goIsNewEnough(release, "1.26.0")).toBe(expected);
  });
});

describe("the pods' network", () => {
  it("is not known while a node lacks its range", () => {
    const json = JSON.stringify({
      items: [nodeWithRange("a", "10.244.0.0/24", "1.1.1.1"), nodeWithRange("b", undefined, "x")],
    });
    expect(nodeAddresses(json)).toBeUndefined();
  });

  it("routes to the other nodes and not to itself", () => {
    const items = [
      nodeWithRange("a", "10.244.0.0/24", "172.18.0.2"),
      nodeWithRange("b", "10.244.1.0/24", "172.18.0.3"),
    ];
    const nodes = nodeAddresses(JSON.stringify({ items })) ?? [];
    const script = connectScript(
      { name: "a", address: "172.18.0.2", podRange: "10.244.0.0/24" },
      nodes,
    );
    expect(script).toContain("ip route replace 10.244.1.0/24 via 172.18.0.3");
    expect(script).not.toContain("ip route replace 10.244.0.0/24");
  });
});

describe("readiness", () => {
  const start = Date.parse("2026-01-01T00:00:10Z");

  it("does not believe a lease from before its node's start, or an old one", () => {
    const since = new Map([["a", start]]);
    expect(renewed(leases("2026-01-01T00:00:09.999999Z"), since, 0)).toBe(false);
    expect(renewed(leases("2026-01-01T00:00:11.000000Z"), since, 0)).toBe(true);
    expect(renewed(leases("2026-01-01T00:00:11.000000Z"), since, start + 2000)).toBe(false);
    const both = new Map([...since, ["b", start] as const]);
    expect(renewed(leases("2026-01-01T00:00:11.000000Z"), both, 0)).toBe(false);
  });

  it("counts only pods whose containers started after their node", () => {
    const items = [
      podStarted("a", "2026-01-01T00:00:09Z"),
      podStarted("a", "2026-01-01T00:00:10Z"),
      podStarted("a", "2026-01-01T00:00:12Z"),
      podStarted("b", "2026-01-01T00:00:09Z"),
      podStarted("gone", "2026-01-01T00:00:12Z"),
    ];
    const since = new Map([
      ["a", start + 700],
      ["b", start - 5000],
    ]);
    expect(podsReady(JSON.stringify({ items }), "kube-proxy", since)).toBe(3);
  });

  it("needs every node to be there and Ready", () => {
    const json = JSON.stringify({
      items: [nodeWithStatus("a", "True"), nodeWithStatus("b", "Unknown")],
    });
    expect(nodesReady(json, ["a"])).toBe(true);
    expect(nodesReady(json, ["a", "b"])).toBe(false);
    expect(nodesReady(json, ["a", "c"])).toBe(false);
  });
});

describe("images on nodes", () => {
  it.each([
    ["signet:dev", "docker.io/library/signet:dev"],
    ["signet", "docker.io/library/signet:latest"],
    ["team/signet:1", "docker.io/team/signet:1"],
    ["localhost/signet:1", "localhost/signet:1"],
    ["127.0.0.1:5000/signet", "127.0.0.1:5000/signet:latest"],
  ])("%s is stored as %s", (short, full) => {
    expect(fullReference(short)).toBe(full);
  });

  it("are there only with the same id", () => {
    const name = "docker.io/library/a:1";
    const line = `${name} application/vnd sha256:aa 1 MiB linux/amd64 io.cri-containerd.image=managed,signet.test/docker-id=123`;
    expect(isLoaded(line, name, "123")).toBe(true);
    expect(isLoaded(line, name, "12")).toBe(false);
    expect(isLoaded(line, "docker.io/library/a:2", "123")).toBe(false);
  });
});

describe("a pod's container", () => {
  const status = { name: "c", containerID: "containerd://abc", state: { running: {} } };
  const pod = { spec: { nodeName: "n" }, status: { containerStatuses: [status] } };

  it("is found by the runtime's id on its node", () => {
    expect(runningContainer(JSON.stringify(pod))).toEqual({ node: "n", id: "abc" });
  });

  it("is not found where it does not run or has another name", () => {
    const waiting = { ...pod, status: { containerStatuses: [{ ...status, state: {} }] } };
    expect(runningContainer(JSON.stringify(waiting))).toBeUndefined();
    expect(runningContainer(JSON.stringify(pod), "other")).toBeUndefined();
  });
});

describe("the removal of an engine's firewall rules", () => {
  it("takes out jumps before chains and leaves others' rules", () => {
    const listing = [
      "-P FORWARD DROP",
      "-N DOCKER",
      "-N MINE",
      "-A FORWARD -j DOCKER",
      "-A FORWARD -j MINE",
      "-A DOCKER -j RETURN",
    ].join("\n");
    expect(removalOf(listing)).toEqual([
      ["-D", "FORWARD", "-j", "DOCKER"],
      ["-F", "DOCKER"],
      ["-X", "DOCKER"],
    ]);
  });
});

function engineRunOf(cache: string): string {
  return locations({ SIGNET_CACHE: cache }).engineRun;
}

function nodeWithRange(name: string, podCIDR: string | undefined, address: string): object {
  const addresses = [
    { type: "Hostname", address: name },
    { type: "InternalIP", address },
  ];
  return {
    metadata: { name },
    spec: podCIDR === undefined ? {} : { podCIDR },
    status: { addresses },
  };
}

function nodeWithStatus(name: string, status: string): object {
  return { metadata: { name }, status: { conditions: [{ type: "Ready", status }] } };
}

function leases(renewTime: string): string {
  return JSON.stringify({ items: [{ metadata: { name: "a" }, spec: { renewTime } }] });
}

function podStarted(nodeName: string, startedAt: string): object {
  return {
    metadata: { name: startedAt, labels: { "k8s-app": "kube-proxy" } },
    spec: { nodeName },
    status: {
      conditions: [{ type: "Ready", status: "True" }],
      containerStatuses: [{ state: { running: { startedAt } } }],
    },
  };
}
