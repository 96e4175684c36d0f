/** The end-to-end suite alone; arguments go to vitest, e.g. a file's name. */
import { close, suite } from "./steps.ts";

close(await suite("e2e", process.argv.slice(2)));
