import { describe, expect, it } from "vitest";
import { parseCommand } from "../../src/cli/parse-command.ts";

const connection = {
  signetNamespace: "signet-system",
  operatorSelector: "app.kubernetes.io/name=signet,app.kubernetes.io/component=operator",
  inspectPort: 8090,
};
const asking = { output: "table", connection };
const parse = (line: string) => parseCommand(line.split(" ").filter(Boolean));

describe("a command line", () => {
  it.each<[string, object]>([
    ["explain pod shop/cart-0", { run: "explain-pod", namespace: "shop", name: "cart-0" }],
    ["explain pods cart-0 -n shop", { run: "explain-pod", namespace: "shop", name: "cart-0" }],
    ["explain po cart-0", { run: "explain-pod", name: "cart-0" }],
    ["explain pod/cart-0", { run: "explain-pod", name: "cart-0" }],
    ["explain pod/shop/cart-0", { run: "explain-pod", namespace: "shop", name: "cart-0" }],
    ["explain pod shop/cart-0 -n shop", { run: "explain-pod", namespace: "shop", name: "cart-0" }],
    [
      "explain clusterspiffeid web",
      { run: "explain-rule", kind: "ClusterSPIFFEID", name: "web", pods: 20 },
    ],
    [
      "explain ClusterSPIFFEIDs.spire.spiffe.io/web --pods 0",
      { run: "explain-rule", kind: "ClusterSPIFFEID", name: "web", pods: 0 },
    ],
    [
      "explain clusterstaticentry one --pods=1000",
      { run: "explain-rule", kind: "ClusterStaticEntry", name: "one", pods: 1000 },
    ],
    ["render -f cr.yaml", { run: "render", file: "cr.yaml" }],
    ["render --filename=-", { run: "render", file: "-" }],
    ["render -f -", { run: "render", file: "-" }],
    ["entries", { run: "entries" }],
    [
      "entries -n shop --node n1 --source web",
      { run: "entries", namespace: "shop", node: "n1", source: "web" },
    ],
    ["entries --source clusterspiffeid/web", { run: "entries", source: "ClusterSPIFFEID/web" }],
    ["version", { run: "version", client: false }],
    ["version --client", { run: "version", client: true }],
  ])("%s is understood", (line, expected) => {
    expect(parse(line)).toEqual({ ...expected, ...asking });
  });

  it("says where the operator is and who asks", () => {
    const line =
      "entries --kubeconfig /k --context prod --signet-namespace spiffe --operator-selector app=x --inspect-port 9";
    expect(parse(line)).toMatchObject({
      connection: {
        kubeconfig: "/k",
        context: "prod",
        signetNamespace: "spiffe",
        operatorSelector: "app=x",
        inspectPort: 9,
      },
    });
  });

  it.each([
    ["-o json", "json"],
    ["-ojson", "json"],
    ["-o=yaml", "yaml"],
    ["--output=yaml", "yaml"],
    ["--output wide", "wide"],
  ])("takes the format as %s", (option, output) => {
    expect(parse(`entries ${option}`)).toMatchObject({ output });
  });

  it.each<[string, object]>([
    ["--help", { run: "help" }],
    ["-h", { run: "help" }],
    ["help", { run: "help" }],
    ["help render", { run: "help", topic: "render" }],
    ["explain -h", { run: "help", topic: "explain" }],
    ["explain pod --help", { run: "help", topic: "explain" }],
  ])("%s is a question for help", (line, expected) => {
    expect(parse(line)).toEqual(expected);
  });

  it.each([
    ["", /a command is missing/],
    ["explode", /no command "explode"/],
    ["help explode", /no command "explode"/],
    ["explain", /needs a kind and a name/],
    ["explain pod", /needs a kind and a name/],
    ["explain pod/", /needs a kind and a name/],
    ["explain pod a b", /unexpected argument "b"/],
    ["explain pod a/b/c", /"a\/b\/c" is no NAMESPACE\/NAME/],
    ["explain pod /b", /"\/b" is no NAMESPACE\/NAME/],
    ["explain pod a/b -n c", /contradict each other/],
    ["explain pod a --pods 3", /--pods is not for a pod/],
    ["explain secret a", /"secret" is neither pod nor/],
    ["explain constructor a", /"constructor" is neither pod nor/],
    ["explain clusterspiffeid a/b", /"a\/b" is no name/],
    ["explain clusterspiffeid a -n b", /has no namespace/],
    ["explain clusterspiffeid a --pods x", /--pods is a number from 0 to 1000, not "x"/],
    ["explain clusterspiffeid a --pods 1001", /--pods is a number/],
    ["explain pod a -o wide", /--output is one of json, yaml, not "wide"/],
    ["explain pod a --node x", /explain does not take --node/],
    ["render", /needs a file/],
    ["render cr.yaml", /unexpected argument/],
    ["render -f", /argument missing|missing/],
    ["render -f=", /--filename is empty/],
    ["entries shop", /unexpected argument "shop"/],
    ["entries -o table", /--output is one of wide, json, yaml/],
    ["entries --source secret/x", /"secret" is neither/],
    ["entries --source clusterspiffeid/", /--source is NAME or KIND\/NAME/],
    ["entries --inspect-port 0", /--inspect-port is a number from 1 to 65535/],
    ["entries --namespace=", /--namespace is empty/],
    ["entries --wide", /Unknown option '--wide'/],
    ["version more", /unexpected argument/],
  ])("%s is refused", (line, message) => {
    expect(() => parse(line)).toThrow(
      expect.objectContaining({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(message) as string,
      }) as Error,
    );
  });
});
