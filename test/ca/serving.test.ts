import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { createServingCertificate, serviceDnsNames } from "../../src/ca/serving.ts";
import type { ServingCertificate } from "../../src/ca/serving.ts";
import { certificatePem, HOUR, newAuthority, peculiar } from "./oracle.ts";

const DNS_NAMES = serviceDnsNames("signet-webhook", "signet-system", "cluster.local");

async function serving() {
  // Real TLS looks at the real clock.
  const now = Date.now();
  const authority = await newAuthority({ now });
  const certificate = await createServingCertificate(createX509Issuer(authority), {
    dnsNames: DNS_NAMES,
    ttlMs: HOUR,
    now,
  });
  return { authority, certificate, now };
}

async function handshake(
  { keyPem, chainPem }: ServingCertificate,
  ca: string,
  servername: string,
): Promise<boolean> {
  const server = createServer({ key: keyPem, cert: chainPem }).listen(0, "127.0.0.1");
  server.on("tlsClientError", () => undefined);
  await once(server, "listening");
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    ca,
    servername,
  });
  try {
    await once(socket, "secureConnect");
    return socket.authorized;
  } finally {
    socket.destroy();
    server.close();
  }
}

describe("serving certificate", () => {
  it("is for the names of the service in the cluster's DNS", () => {
    expect(DNS_NAMES).toEqual([
      "signet-webhook.signet-system.svc",
      "signet-webhook.signet-system.svc.cluster.local",
    ]);
  });

  it.each(DNS_NAMES)("is accepted in a TLS handshake for %s", async (name) => {
    const { authority, certificate } = await serving();
    expect(await handshake(certificate, certificatePem(authority.certificate), name)).toBe(true);
  });

  it("is refused for another name and from another authority", async () => {
    const { authority, certificate } = await serving();
    const other = await newAuthority({ now: Date.now() });
    await expect(
      handshake(certificate, certificatePem(authority.certificate), "signet-webhook.other.svc"),
    ).rejects.toMatchObject({
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });
    await expect(
      handshake(certificate, certificatePem(other.certificate), DNS_NAMES[0]!),
    ).rejects.toThrow("unable to");
  });

  it("is an X509-SVID of the operator with an end, and a fresh key each time", async () => {
    const { certificate, now } = await serving();
    const names = new peculiar.X509Certificate(certificate.chainPem).getExtension(
      peculiar.SubjectAlternativeNameExtension,
    );
    expect(names?.names.toJSON()[0]).toEqual({
      type: "url",
      value: "spiffe://example.org/signet/operator",
    });
    expect(certificate.notAfter).toBe(Math.floor((now + HOUR) / 1000) * 1000);
    expect((await serving()).certificate.keyPem).not.toBe(certificate.keyPem);
  });
});
