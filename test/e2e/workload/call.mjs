// A client: node call.mjs HOST SPIFFE-ID [SECONDS]. Calls the tool once, or once a second over one connection.
import { connect } from "node:tls";
import { createInterface } from "node:readline";
import { readIdentity, serialOf, spiffeIdOf } from "./identity.mjs";

const [host, expected, seconds = "0"] = process.argv.slice(2);
const end = Date.now() + Number(seconds) * 1000;
const socket = connect({
  host,
  port: 8443,
  ...readIdentity(),
  // SPIFFE: who answers is decided by its SPIFFE ID, not by a host name.
  checkServerIdentity: (_host, certificate) =>
    spiffeIdOf(certificate) === expected
      ? undefined
      : new Error(`server is ${spiffeIdOf(certificate)}`),
});
const ask = () => socket.write("ping\n");
let last;
let answers = 0;
/** Prints what differs from the answer before. */
const say = (line) => {
  answers += 1;
  if (line !== last) console.log(`answer ${answers}: ${line}`);
  last = line;
};
socket.once("secureConnect", () => {
  console.log(`connected to ${expected}`);
  ask();
});
const lines = createInterface({ input: socket });
// It passes on the errors of its socket, which are told below.
lines.on("error", () => undefined);
lines.on("line", (line) => {
  say(`${line}, own SVID ${serialOf(readIdentity().cert)}`);
  if (line.startsWith("refused")) process.exit(3);
  if (Date.now() >= end) {
    console.log(`${answers} answers over one connection`);
    process.exit(0);
  }
  setTimeout(ask, 1000);
});
socket.on("error", (error) => {
  console.log(`failed: ${error.message}`);
  process.exit(2);
});
socket.on("close", () => {
  console.log("the connection ended");
  process.exit(4);
});
