/** Preloaded into an operator that runs outside a pod: its service account's files come from SIGNET_BENCH_ACCOUNT. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
const folder = process.env["SIGNET_BENCH_ACCOUNT"] ?? MOUNT;
const read = fs.readFileSync;

fs.readFileSync = ((...[path, options]: Parameters<typeof read>) => {
  const inMount = typeof path === "string" && path.startsWith(MOUNT);
  return read(inMount ? folder + path.slice(MOUNT.length) : path, options);
}) as typeof read;
syncBuiltinESMExports();
