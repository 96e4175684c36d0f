import type { World } from "./world.ts";

/** What a test file made and takes away when it is done. */
interface Belongings {
  readonly namespaces: readonly string[];
  readonly clusterSpiffeIds: readonly string[];
}

/** Deletes the objects at once and lets the namespaces go in their own time. */
export async function tidy(world: World, made: Belongings): Promise<void> {
  const args = ["--wait=false"];
  await Promise.all([
    ...made.clusterSpiffeIds.map((name) => world.remove("clusterspiffeid", name, undefined, args)),
    ...made.namespaces.map((name) => world.remove("namespace", name, undefined, args)),
  ]);
}
