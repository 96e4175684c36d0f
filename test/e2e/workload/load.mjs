// Load: node load.mjs NGINX-HOST NGINX-ID POSTGRES-HOST POSTGRES-ID. Opens one TLS connection after another to both
// servers, looks at who answers, and tells twice a second, as a line of JSON, what it met.
import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { readIdentity, spiffeIdOf } from "./identity.mjs";

const [nginxHost, nginxId, postgresHost, postgresId] = process.argv.slice(2);
const AT_ONCE = 4;
const LIMIT_MS = 5000;
const MOST_FAULTS = 20;

/** The peer's serial number; throws where it is not `expected`. */
async function secured(socket, expected) {
  await once(socket, "secureConnect");
  const certificate = socket.getPeerCertificate();
  const id = spiffeIdOf(certificate);
  if (id !== expected) throw new Error(`the server is ${id}`);
  return certificate.serialNumber;
}

function options() {
  // SPIFFE: who answers is decided by its SPIFFE ID, not by a host name.
  return { ...readIdentity(), checkServerIdentity: () => undefined };
}

/** A request of HTTP, answered with status 200. */
async function callNginx(signal) {
  const socket = connectTls({ host: nginxHost, port: 8443, ...options(), signal });
  try {
    const serial = await secured(socket, nginxId);
    socket.write("GET / HTTP/1.1\r\nHost: nginx\r\nConnection: close\r\n\r\n");
    let answer = "";
    for await (const chunk of socket) answer += chunk;
    if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(answer.split("\n")[0]);
    return serial;
  } finally {
    socket.destroy();
  }
}

function startup() {
  const parameters = Buffer.from("user\0app\0database\0postgres\0\0");
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + parameters.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, parameters]);
}

/** Whether PostgreSQL's messages have come to ReadyForQuery; throws for an error among them. */
function isReady(messages) {
  for (let at = 0; at + 5 <= messages.length; at += 1 + messages.readInt32BE(at + 1)) {
    const kind = String.fromCharCode(messages[at]);
    if (kind === "E") throw new Error(messages.toString().replaceAll("\0", " "));
    if (kind === "Z") return true;
  }
  return false;
}

/** A session of PostgreSQL's protocol 3 up to its first ReadyForQuery, in which no error came. */
async function callPostgres(signal) {
  const plain = connect({ host: postgresHost, port: 5432, signal });
  try {
    await once(plain, "connect");
    plain.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    const [answer] = await once(plain, "data");
    if (answer.toString() !== "S") throw new Error(`no TLS: ${answer}`);
    const socket = connectTls({ socket: plain, ...options() });
    const serial = await secured(socket, postgresId);
    socket.write(startup());
    let seen = Buffer.alloc(0);
    for await (const chunk of socket) {
      seen = Buffer.concat([seen, chunk]);
      if (isReady(seen)) return serial;
    }
    throw new Error("the session ended early");
  } finally {
    plain.destroy();
  }
}

const seen = {
  nginx: { good: 0, faults: [], serials: [] },
  postgres: { good: 0, faults: [], serials: [] },
};

async function loop(call, report) {
  for (;;) {
    const signal = AbortSignal.timeout(LIMIT_MS);
    try {
      const serial = await call(signal);
      report.good += 1;
      if (!report.serials.includes(serial)) report.serials.push(serial);
    } catch (error) {
      if (report.faults.length < MOST_FAULTS)
        report.faults.push(`${new Date().toISOString()} ${error.message}`);
    }
  }
}

for (let n = 0; n < AT_ONCE; n += 1) {
  void loop(callNginx, seen.nginx);
  void loop(callPostgres, seen.postgres);
}
setInterval(() => console.log(JSON.stringify(seen)), 500);
process.on("SIGTERM", () => process.exit(0));
