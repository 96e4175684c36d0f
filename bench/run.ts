/** Runs every benchmark that needs no cluster, one after another. Usage: npm run bench */
import { run as ca } from "./ca.ts";
import { run as issuer } from "./issuer.ts";

for (const bench of [ca, issuer]) console.log(`${(await bench()).join("\n")}\n`);
console.log("On a cluster: node bench/cluster.ts");
