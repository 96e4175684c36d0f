import { setLogger } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import {
  BEGIN,
  callHeaders,
  emptyMessage,
  headersFrame,
  rawClient,
} from "../rpc/http2/raw-client.ts";
import { serve } from "./world.ts";

afterEach(() => setLogger(console));

it("lets no client write to the node's log by headers that gRPC does not allow", async () => {
  const written: unknown[] = [];
  setLogger({ error: (...words: unknown[]) => void written.push(words) });
  const domain = await testDomain();
  const world = await serve(testWorkload(domain, { status: "none" }));
  const client = await rawClient(world.volume.socket());
  const headers = callHeaders("localhost", "/SpiffeWorkloadAPI/FetchX509SVID");
  client.send(BEGIN, headersFrame(1, [...headers, ["x-mine", "é"]]), emptyMessage(1));
  expect(await client.outcome(1)).toBe("200");
  expect(written).toEqual([]);
  client.close();
  await world.close();
});
