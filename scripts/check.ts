/** What can be checked without a cluster: static checks, unit and integration tests. */
import { add, bringPrograms, close, staticChecks, suite } from "./steps.ts";

await bringPrograms();
close(add(await staticChecks(), await suite("unit")));
