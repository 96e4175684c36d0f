/**
 * JWT-SVIDs on the agent, without sockets to workloads: tokens a second from its cache, and the rate when every one is
 * signed anew by an operator on the same core and checked by the agent. `bench/workload-api.ts` adds the way to a client.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WorkloadSource } from "../src/workload-api/ports.ts";
import { serverCredentials, testAuthority } from "../test/fakes/authority.ts";
import { fakeIssuer } from "../test/fakes/issuer.ts";
import type { FakeIssuer } from "../test/fakes/issuer.ts";
import { testJwtAuthority } from "../test/fakes/jwt-authority.ts";
import {
  agentFiles,
  entry,
  OPERATOR_ID,
  pod,
  testAgent,
  TRUST_DOMAIN,
  until,
  volumeOf,
} from "../test/agent/fixture.ts";
import type { TestAgent } from "../test/agent/fixture.ts";

/** Pods of a full node. */
const PODS = 110;
const CACHED = 200_000;
const SIGNED = 2000;
const IN_FLIGHT = 64;
const NO_LIMIT = { calls: 1e6, callBurst: 1e9, callsPerSecond: 1e6 };

/** Runs the benchmark, about 10 s, and gives its lines. */
export async function run(): Promise<string[]> {
  const dir = mkdtempSync(join(tmpdir(), "bench-"));
  const { operator, agent } = await startNode(dir);
  try {
    const sources = await publishPods(operator, agent);
    await fetchMany(sources, SIGNED / 2, (i) => `warm-${i}`);
    const signed = await fetchMany(sources, SIGNED, (i) => `api-${i}`);
    await fetchMany(sources, CACHED / 4, () => "api");
    const cached = await fetchMany(sources, CACHED, () => "api");
    return [
      `JWT-SVIDs at the agent, ${PODS} pods, ${IN_FLIGHT} in flight, ES256`,
      `  from the cache      ${Math.round(cached)}/s`,
      `  signed and checked  ${Math.round(signed)}/s, agent and operator on one core with TLS between them`,
    ];
  } finally {
    await agent.stop();
    await operator.kill();
    rmSync(dir, { recursive: true });
  }
}

async function startNode(dir: string): Promise<{ operator: FakeIssuer; agent: TestAgent }> {
  const authority = await testAuthority("bench");
  const jwtAuthority = await testJwtAuthority("bench");
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const operator = fakeIssuer({ trustDomain: TRUST_DOMAIN, authority, jwtAuthority, server });
  await operator.start();
  const files = agentFiles(dir, [authority]);
  const agent = testAgent({ address: operator.address, files, jwtLimits: NO_LIMIT });
  agent.start();
  await until(() => agent.status().synced, "synced");
  return { operator, agent };
}

async function publishPods(operator: FakeIssuer, agent: TestAgent): Promise<WorkloadSource[]> {
  const names = Array.from({ length: PODS }, (_, i) => `pod-${i}`);
  for (const name of names) operator.setEntries(name, [entry(name)]);
  return Promise.all(
    names.map(async (name) => {
      const volume = volumeOf(name, pod(name));
      const { signal } = new AbortController();
      const limits = { deadline: Date.now() + 30_000, noWait: false, signal };
      agent.identities.adopt(volume, await agent.identities.attest(volume, "token", limits));
      return agent.source(name);
    }),
  );
}

/** Fetches a second. */
async function fetchMany(
  sources: readonly WorkloadSource[],
  count: number,
  audienceOf: (i: number) => string,
): Promise<number> {
  const { signal } = new AbortController();
  let next = 0;
  const started = performance.now();
  const work = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      const question = { audiences: [audienceOf(i)], spiffeId: undefined, signal };
      await sources[i % sources.length]?.fetchJwtSvids(question);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return (count * 1000) / (performance.now() - started);
}

if (import.meta.main) console.log((await run()).join("\n"));
