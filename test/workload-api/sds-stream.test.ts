import { beforeEach, expect, it } from "vitest";
import type { EntitledState } from "../../src/workload-api/ports.ts";
import { streamSecrets } from "../../src/workload-api/sds-stream.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestWorkload } from "../fakes/workload.ts";

let workload: TestWorkload;
let heard: string[];
let abort: AbortController;
beforeEach(async () => {
  const domain = await testDomain();
  workload = testWorkload(domain, domain.state([await domain.svid("/web")]));
  [heard, abort] = [[], new AbortController()];
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A conversation about the number of the workload's SVIDs, which echoes what is asked. */
function talk(requests: AsyncIterable<string>, admit = () => pause(5)): Promise<void> {
  let asked: string[] = [];
  return streamSecrets<string, string>({
    requests,
    send: async (message) => {
      await pause(1);
      heard.push(message);
    },
    dialogue: {
      take: (request) => void asked.push(request),
      answer(state: EntitledState) {
        const told = asked.map((request) => `${request} ${state.svids.length}`).join();
        asked = [];
        return told === "" ? undefined : told;
      },
    },
    source: workload,
    admit,
    signal: abort.signal,
  });
}

async function* words(...all: string[]): AsyncGenerator<string> {
  yield* all;
}

/** Says something and then nothing more, without an end. */
async function* silence(): AsyncGenerator<string> {
  yield "a";
  await new Promise<never>(() => undefined);
}

it("answers all requests in their order, also those that come while one is looked at", async () => {
  await talk(words("a", "b", "c"));
  expect(heard).toEqual(["a 1", "b 1", "c 1"]);
  expect(workload.listeners).toBe(0);
});

it("ends with the signal's reason while nothing happens, and listens no more", async () => {
  const talking = talk(silence());
  await expect.poll(() => heard).toEqual(["a 1"]);
  expect(workload.listeners).toBe(1);
  abort.abort(new Error("closing"));
  await expect(talking).rejects.toThrow("closing");
  expect(workload.listeners).toBe(0);
});

it("ends with what the requests break with", async () => {
  async function* broken(): AsyncGenerator<string> {
    yield "a";
    await pause(20);
    throw new Error("not a message");
  }
  await expect(talk(broken())).rejects.toThrow("not a message");
  expect(heard).toEqual(["a 1"]);
  expect(workload.listeners).toBe(0);
});

it("ends with the reason why a request is not admitted", async () => {
  const refuse = () => Promise.reject(new Error("too many"));
  await expect(talk(silence(), refuse)).rejects.toThrow("too many");
  expect(heard).toEqual([]);
});
