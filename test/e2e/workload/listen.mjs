// Prints every HTTP request that comes to port 8085.
import { createServer } from "node:http";

createServer((request, response) => {
  console.log(`${request.method} ${request.url}`);
  response.end();
}).listen(8085);
process.on("SIGTERM", () => process.exit(0));
