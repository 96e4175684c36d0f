import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { egressConfig } from "../clients/envoy/config.ts";

const page = readFileSync(new URL("../../docs/envoy.md", import.meta.url), "utf8");
const snippets = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(
  ([, yaml = ""]) => parse(yaml) as Record<string, any>,
);

/** What the test with the real Envoy runs, with the values of the page. */
const tried = egressConfig({
  id: "id",
  admin: { host: "127.0.0.1", port: 0 },
  sds: {
    socket: "/var/run/secrets/spiffe.io/api.sock",
    protocol: "GRPC",
    certificate: "default",
    validation: "ALL",
    metadata: { disable_spiffe_cert_validation: true },
  },
  routes: [
    {
      name: "api",
      listen: { host: "127.0.0.1", port: 0 },
      upstream: { host: "127.0.0.1", port: 0 },
      peer: "spiffe://example.org/ns/shop/sa/api",
    },
  ],
}) as Record<string, any>;

it("docs/envoy.md shows the configuration that the real Envoy is tried with", () => {
  const [bootstrap, tls, metadata, ...more] = snippets;
  expect(more).toEqual([]);
  const clusters: any[] = tried["static_resources"].clusters;
  expect(clusters).toContainEqual(bootstrap?.["static_resources"].clusters[0]);
  expect(clusters[0].transport_socket.typed_config.common_tls_context).toEqual(
    tls?.["common_tls_context"],
  );
  expect(tried["node"].metadata).toEqual(metadata?.["node"].metadata);
});
