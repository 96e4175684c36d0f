import { expect, it } from "vitest";
import { createPool } from "../../src/kube/pool.ts";

it("makes new connections once the CA or the client certificate is another", async () => {
  let ca = "one";
  let certificate = { cert: "a", key: "a" };
  const pool = createPool({
    server: "https://127.0.0.1:1",
    ca: () => ca,
    token: () => undefined,
    clientCertificate: () => certificate,
    namespace: "default",
  });
  const first = pool.current();
  expect(pool.current()).toBe(first);
  certificate = { cert: "b", key: "b" };
  const second = pool.current();
  expect(second).not.toBe(first);
  expect(pool.current()).toBe(second);
  ca = "two";
  expect(pool.current()).not.toBe(second);
  await pool.close();
});
