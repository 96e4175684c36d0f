import { describe, expect, it } from "vitest";
import { mergeKubeconfigs, readKubeconfigFiles } from "../../src/kube/kubeconfig-files.ts";
import { loadKubeconfig, selectContext } from "../../src/kube/kubeconfig.ts";

const contentOf = (path: string): string => `content of ${path}`;
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const kubeconfig = (user: string, cluster = ""): string => `
apiVersion: v1
kind: Config
current-context: here
contexts:
  - name: here
    context: { cluster: one, user: me, namespace: shop }
clusters:
  - name: one
    cluster:
      server: https://127.0.0.1:6443/
      certificate-authority-data: ${base64("the ca")}
      ${cluster}
users:
  - name: me
    user: ${user}
`;

describe("a kubeconfig", () => {
  it("gives server, CA, namespace and a client certificate", () => {
    const user = `{ client-certificate-data: ${base64("cert")}, client-key-data: ${base64("key")} }`;
    const config = loadKubeconfig(kubeconfig(user));
    expect(config.server).toBe("https://127.0.0.1:6443");
    expect(config.ca()).toBe("the ca");
    expect(config.clientCertificate?.()).toEqual({ cert: "cert", key: "key" });
    expect([config.token(), config.namespace]).toEqual([undefined, "shop"]);
  });

  it("gives a token, and reads files when it may", () => {
    expect(loadKubeconfig(kubeconfig("{ token: secret }")).token()).toBe("secret");
    const user = "{ client-certificate: /c.pem, client-key: /k.pem }";
    const config = loadKubeconfig(kubeconfig(user), { readFile: contentOf });
    expect(config.clientCertificate?.()?.key).toBe("content of /k.pem");
    expect(() => loadKubeconfig(kubeconfig(user))).toThrow(/names the file/);
  });

  it("reads a token file at every request, before a token that is written down", () => {
    let content = "first\n";
    const user = "{ token: old, tokenFile: /run/token }";
    const config = loadKubeconfig(kubeconfig(user), { readFile: () => content });
    expect(config.token()).toBe("first");
    content = "second";
    expect(config.token()).toBe("second");
    expect(() => loadKubeconfig(kubeconfig(user))).toThrow(/tokenFile names the file/);
  });

  it.each([
    ["an exec plugin where none may run", kubeconfig("{ exec: { command: aws } }"), /uses exec/],
    ["a password", kubeconfig("{ username: me, password: x }"), /uses username/],
    ["impersonation", kubeconfig("{ token: t, as: root }"), /uses as,/],
    [
      "unverified TLS",
      kubeconfig("{ token: t }", "insecure-skip-tls-verify: true"),
      /insecure-skip/,
    ],
    ["a proxy", kubeconfig("{ token: t }", "proxy-url: http://proxy:3128"), /sets proxy-url/],
    [
      "another context",
      kubeconfig("{ token: t }").replace("current-context: here", "current-context: x"),
      /no context "x"/,
    ],
    ["text that is no YAML", "{", /cannot be used/],
    ["YAML that is no map", "- 1", /not a YAML map/],
  ])("is refused with %s", (_, text, message) => {
    expect(() => loadKubeconfig(text)).toThrow(message);
  });
});

function missing(path: string): never {
  throw Object.assign(new Error(`no such file: ${path}`), { code: "ENOENT" });
}

/** Reads out of a map. */
const from =
  (files: Readonly<Record<string, string>>) =>
  (path: string): string =>
    files[path] ?? missing(path);

describe("the kubeconfig files", () => {
  const home = "/home/me";
  const texts = from({ "/a": "a", "/b": "b", "/home/me/.kube/config": "home" });
  const pathsOf = (location: { path?: string; env?: Record<string, string> }): string[] =>
    readKubeconfigFiles({ env: {}, home, ...location }, texts).map(({ path }) => path);

  it("are the one below the home folder when nothing else is said", () => {
    expect(pathsOf({})).toEqual(["/home/me/.kube/config"]);
    expect(pathsOf({ env: { KUBECONFIG: "" } })).toEqual(["/home/me/.kube/config"]);
  });

  it("are those of KUBECONFIG, of which some may be missing and some named twice", () => {
    expect(pathsOf({ env: { KUBECONFIG: "/b::/nowhere:/a:/b" } })).toEqual(["/b", "/a"]);
  });

  it("are the one that was named, which must be there", () => {
    expect(pathsOf({ path: "/a", env: { KUBECONFIG: "/b" } })).toEqual(["/a"]);
    expect(() => pathsOf({ path: "/nowhere" })).toThrow(/cannot read the kubeconfig \/nowhere/);
  });

  it("are missed with the place where one belongs", () => {
    expect(() => pathsOf({ env: { KUBECONFIG: "/x:/y" } })).toThrow(/no kubeconfig at \/x or \/y/);
  });

  it("fail when one of them cannot be read", () => {
    const denied = (): never => {
      throw Object.assign(new Error("permission denied"), { code: "EACCES" });
    };
    const read = () => readKubeconfigFiles({ env: {}, home }, denied);
    expect(read).toThrow(/config: permission denied/);
  });
});

describe("several kubeconfigs", () => {
  const first = `
current-context: ""
contexts: [{ name: here, context: { cluster: one, user: me } }]
clusters: [{ name: one, cluster: { server: https://one, certificate-authority: pki/ca.pem } }]
`;
  const second = `
current-context: here
contexts: [{ name: here, context: { cluster: wrong, user: wrong } }]
clusters: [{ name: one, cluster: { server: https://wrong } }]
users: [{ name: me, user: { client-certificate: c.pem, client-key: /k.pem } }]
`;
  const merged = mergeKubeconfigs([
    { path: "/one/config", text: first },
    { path: "two/config", text: second },
    { path: "/empty", text: "\n" },
  ]);

  it("add up, and the first that has a name wins", () => {
    const config = selectContext(merged, { readFile: contentOf });
    expect(config.server).toBe("https://one");
  });

  it("name files relative to themselves", () => {
    const config = selectContext(merged, { readFile: contentOf });
    expect(config.ca()).toBe("content of /one/pki/ca.pem");
    expect(config.clientCertificate?.()).toEqual({
      cert: "content of two/c.pem",
      key: "content of /k.pem",
    });
  });

  it("name programs relative to themselves, unless PATH is to be searched", () => {
    const text = `
users:
  - { name: a, user: { exec: { command: ./bin/login } } }
  - { name: b, user: { exec: { command: aws } } }
`;
    expect(mergeKubeconfigs([{ path: "/one/config", text }])["users"]).toEqual([
      { name: "a", user: { exec: { command: "/one/bin/login" } } },
      { name: "b", user: { exec: { command: "aws" } } },
    ]);
  });

  it("say which of them is broken", () => {
    expect(() => mergeKubeconfigs([{ path: "/one/config", text: "- 1" }])).toThrow(
      /^\/one\/config: .*not a YAML map/,
    );
  });
});
