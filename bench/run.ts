/** Runs every benchmark that needs no cluster, one after another. Usage: npm run bench */
import { run as agentJwt } from "./agent-jwt.ts";
import { run as ca } from "./ca.ts";
import { run as issuer } from "./issuer.ts";
import { run as jwt } from "./jwt.ts";
import { run as registration } from "./registration.ts";
import { run as schedule } from "./schedule.ts";
import { run as workloadApi } from "./workload-api.ts";

for (const bench of [ca, jwt, issuer, registration, agentJwt, schedule, workloadApi]) {
  console.log(`${(await bench()).join("\n")}\n`);
}
console.log(
  "On an API server: node bench/registration-cluster.ts; on a cluster: node bench/cluster.ts",
);
