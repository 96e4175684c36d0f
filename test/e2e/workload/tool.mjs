// A tool: an mTLS server that answers one SPIFFE ID, $ALLOWED, and follows rotations without a restart.
import { createServer } from "node:tls";
import { onRotation, readIdentity, serialOf, spiffeIdOf } from "./identity.mjs";

let identity = readIdentity();
const server = createServer(
  { ...identity, requestCert: true, rejectUnauthorized: true },
  (socket) => {
    const peer = spiffeIdOf(socket.getPeerCertificate());
    if (peer !== process.env.ALLOWED) {
      console.log(`refused ${peer}`);
      socket.end(`refused: ${peer} may not use this tool\n`);
      return;
    }
    console.log(`admitted ${peer}`);
    socket.on("data", () =>
      socket.write(`hello ${peer}, server SVID ${serialOf(identity.cert)}\n`),
    );
    socket.on("error", () => undefined);
  },
);
server.on("tlsClientError", (error) => console.log(`handshake failed: ${error.message}`));
onRotation((next) => {
  identity = next;
  server.setSecureContext(next);
  console.log(`rotated to ${serialOf(next.cert)}`);
});
server.listen(8443, () => console.log("listening"));
process.on("SIGTERM", () => process.exit(0));
