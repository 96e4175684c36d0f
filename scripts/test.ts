/** Everything CI checks: static checks, unit and integration tests, and the end-to-end suite on a real cluster. */
import { add, bringPrograms, close, staticChecks, suite } from "./steps.ts";

await bringPrograms();
close(add(await staticChecks(), await suite("unit"), await suite("clients"), await suite("e2e")));
