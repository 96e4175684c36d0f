import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Workshop } from "./steps.ts";

/** Writes the container runtime that asks runc only for capabilities this machine has; gives its path. */
export async function writeRuntimeWrapper(shop: Workshop): Promise<string> {
  const folder = shop.places.engineData;
  await mkdir(folder, { recursive: true });
  const filter = join(folder, "filter.mjs");
  const wrapper = join(folder, "runc-filtered");
  await writeFile(filter, filterScript);
  await writeFile(wrapper, wrapperScript(process.execPath, filter), { mode: 0o755 });
  return wrapper;
}

/** Only `create`, `run` and `exec` read a description; the others go straight to runc. */
function wrapperScript(node: string, filter: string): string {
  return `#!/bin/sh
# Made by test/e2e/cluster: removes what this machine cannot grant, then runs runc.
file= take=
for argument in "$@"; do
  case $take in
    bundle) file=$argument/config.json ;;
    process) file=$argument ;;
  esac
  take=
  case $argument in
    --bundle | -b) take=bundle ;;
    --bundle=*) file=\${argument#--bundle=}/config.json ;;
    --process | -p) take=process ;;
    --process=*) file=\${argument#--process=} ;;
  esac
done
if [ -n "$file" ] && [ -f "$file" ]; then '${node}' '${filter}' "$file" || exit 1; fi
exec runc "$@"
`;
}

const filterScript = `// Made by test/e2e/cluster: keeps the capabilities within this process' bounding set.
import { readFileSync, writeFileSync } from "node:fs";
const names = ["CHOWN","DAC_OVERRIDE","DAC_READ_SEARCH","FOWNER","FSETID","KILL","SETGID","SETUID",
  "SETPCAP","LINUX_IMMUTABLE","NET_BIND_SERVICE","NET_BROADCAST","NET_ADMIN","NET_RAW","IPC_LOCK",
  "IPC_OWNER","SYS_MODULE","SYS_RAWIO","SYS_CHROOT","SYS_PTRACE","SYS_PACCT","SYS_ADMIN","SYS_BOOT",
  "SYS_NICE","SYS_RESOURCE","SYS_TIME","SYS_TTY_CONFIG","MKNOD","LEASE","AUDIT_WRITE",
  "AUDIT_CONTROL","SETFCAP","MAC_OVERRIDE","MAC_ADMIN","SYSLOG","WAKE_ALARM","BLOCK_SUSPEND",
  "AUDIT_READ","PERFMON","BPF","CHECKPOINT_RESTORE"];
const status = readFileSync("/proc/self/status", "utf8");
const bounding = BigInt("0x" + /^CapBnd:\\s*([0-9a-f]+)/m.exec(status)[1]);
const granted = new Set(names.filter((_, bit) => (bounding >> BigInt(bit)) & 1n).map((n) => "CAP_" + n));
const file = process.argv[2];
const description = JSON.parse(readFileSync(file, "utf8"));
const target = description.process ?? description;
for (const [set, list] of Object.entries(target.capabilities ?? {})) {
  if (Array.isArray(list)) target.capabilities[set] = list.filter((name) => granted.has(name));
}
if (target.oomScoreAdj < 0) delete target.oomScoreAdj;
writeFileSync(file, JSON.stringify(description));
`;
