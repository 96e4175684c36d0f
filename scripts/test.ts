/** Everything CI checks: static checks, unit and integration tests, and the end-to-end suite on a real cluster. */
import { add, close, staticChecks, suite } from "./steps.ts";

close(add(await staticChecks(), await suite("unit"), await suite("e2e")));
