import { expect, it } from "vitest";
import { probe, servePlain } from "../../src/core/http.ts";

it("answers probes with what is missing, and everything else with 404", async () => {
  const missing = ["caches"];
  const server = await servePlain(0, { "/readyz": probe(() => missing) });
  const get = async (path: string): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return [response.status, await response.text()];
  };
  try {
    expect(await get("/readyz")).toEqual([503, "not ready: caches\n"]);
    missing.pop();
    expect(await get("/readyz?verbose")).toEqual([200, "ok\n"]);
    expect(await get("/toString")).toEqual([404, "not found\n"]);
  } finally {
    await server.close();
  }
});

it("says which port is taken", async () => {
  const first = await servePlain(0, {});
  await expect(servePlain(first.port, {})).rejects.toMatchObject({ code: "SYSTEM" });
  await first.close();
});
