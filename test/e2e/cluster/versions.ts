/** Every version and package list the cluster is made of; a change here changes the step keys. */
export const versions = {
  kubernetes: "1.36.3",
  node: "24.21.0",
  go: "1.26.6",
  /** Lowest Go release the go.mod files build with. */
  goMinimum: "1.26.0",
  debianSuite: "bookworm",
  publishedNodeImage:
    "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
  nodeBaseImage: "docker.io/library/node:24-bookworm-slim",
} as const;

/** Debian packages of the machine itself, needed only where the images are made here. */
export const hostPackages = {
  engine: ["docker.io", "iptables", "containerd", "runc"],
  images: ["mmdebstrap", "busybox-static"],
} as const;

/** Debian packages of the node image: what kind's own base image installs, and the container runtime. */
export const nodePackages = [
  "systemd",
  "systemd-sysv",
  "dbus",
  "conntrack",
  "iptables",
  "nftables",
  "iproute2",
  "ethtool",
  "util-linux",
  "mount",
  "kmod",
  "libseccomp2",
  "pigz",
  "bash",
  "ca-certificates",
  "curl",
  "jq",
  "procps",
  "containerd",
  "runc",
  "containernetworking-plugins",
  "e2fsprogs",
] as const;

/** Debian packages of the kube-proxy image. */
export const proxyPackages = ["iptables", "nftables", "conntrack", "kmod", "ipset"] as const;

/** Debian packages of the stand-in for the Node.js base image. */
export const nodeBasePackages = ["libstdc++6", "ca-certificates"] as const;
