/** What can be checked without a cluster: static checks, unit and integration tests. */
import { add, close, staticChecks, suite } from "./steps.ts";

close(add(await staticChecks(), await suite("unit")));
