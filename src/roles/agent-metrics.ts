import type { Agent } from "../agent/agent.ts";
import type { AgentEvent } from "../agent/events.ts";
import type { Metrics } from "../core/metrics.ts";
import type { Endpoints, EndpointsSummary } from "../workload-api/endpoints.ts";

/** Counts what an agent does: renewals, writes, and where the tokens of its Workload APIs come from. */
export function agentCounters(metrics: Metrics): (event: AgentEvent) => void {
  const renewals = metrics.counter(
    "signet_agent_renewals_total",
    "Renewals of SVIDs and of tokens in files, by kind and result.",
    ["kind", "result"],
  );
  const writes = metrics.counter(
    "signet_agent_writes_total",
    "Times that the files of a volume were written or cleared, by result.",
    ["result"],
  );
  const answers = metrics.counter(
    "signet_agent_jwt_cache_total",
    "Answers to FetchJWTSVID, by source: hit, miss, or stale for want of a new token.",
    ["result"],
  );
  const calls = metrics.counter(
    "signet_agent_jwt_requests_total",
    "Calls of the operator for tokens of FetchJWTSVID, by result.",
    ["result"],
  );
  const table: Readonly<Record<AgentEvent, { inc(): void }>> = {
    renewed: renewals.labels("x509", "ok"),
    "renewal-failed": renewals.labels("x509", "failed"),
    "tokens-renewed": renewals.labels("jwt", "ok"),
    "tokens-failed": renewals.labels("jwt", "failed"),
    written: writes.labels("ok"),
    "write-failed": writes.labels("failed"),
    "jwt-hit": answers.labels("hit"),
    "jwt-miss": answers.labels("miss"),
    "jwt-stale": answers.labels("stale"),
    "jwt-renewed": calls.labels("ok"),
    "jwt-failed": calls.labels("failed"),
  };
  return (event) => table[event].inc();
}

/** Shows how an agent is when it is asked. */
export function agentGauges(
  metrics: Metrics,
  { identities, endpoints }: { readonly identities: Agent; readonly endpoints: Endpoints },
): void {
  const status = (read: (status: ReturnType<Agent["status"]>) => number) => () =>
    read(identities.status());
  metrics.gauge(
    "signet_agent_volumes",
    "Volumes that the agent keeps fresh.",
    status(({ volumes }) => volumes),
  );
  metrics.gauge(
    "signet_agent_volumes_without_identity",
    "Volumes whose pod has no identity any more.",
    status(({ withoutIdentity }) => withoutIdentity),
  );
  metrics.gauge(
    "signet_agent_volumes_failing",
    "Volumes whose last renewal or write failed.",
    status(({ failing }) => failing),
  );
  metrics.gauge(
    "signet_agent_connected",
    "1 while a session with an operator runs.",
    status(({ connected }) => Number(connected)),
  );
  const served: Readonly<Record<keyof EndpointsSummary, string>> = {
    sockets: "Workload API sockets that are open.",
    connections: "Connections to Workload API sockets.",
    calls: "Workload API calls that are open, streams among them.",
  };
  for (const [name, help] of Object.entries(served) as [keyof EndpointsSummary, string][]) {
    metrics.gauge(`signet_agent_workload_api_${name}`, help, () => endpoints.summary()[name]);
  }
}
