/** Plays a scenario and dies by SIGKILL at one of its steps. Usage: node dying-node.ts WORLD SCENARIO STEP */
import { readFileSync } from "node:fs";
import { deserialize } from "node:v8";
import { createMounter } from "../../src/csi/mount.ts";
import { play } from "./scenarios.ts";
import type { Scenario, World } from "./scenarios.ts";

const [file = "", scenario, fatal] = process.argv.slice(2);
const world = deserialize(readFileSync(file)) as World;
let left = Number(fatal);
await play(scenario as Scenario, world, await createMounter(), () => {
  if (left-- === 0) process.kill(process.pid, "SIGKILL");
});
