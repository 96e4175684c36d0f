import { readFileSync, realpathSync, watch } from "node:fs";
import { createServer } from "node:https";

const folder = process.env.SPIFFE_CREDENTIAL_FOLDER ?? "/var/run/secrets/spiffe.io";
const credentials = () => {
  const now = realpathSync(`${folder}/..data`); // one link, so key and certificate are a pair
  const read = (name) => readFileSync(`${now}/${name}`);
  return { cert: read("tls.crt"), key: read("tls.key"), ca: read("ca.crt") };
};
const server = createServer({ ...credentials(), requestCert: true }, (request, response) => {
  const caller = request.socket.getPeerCertificate().subjectaltname;
  const isAllowed = caller === `URI:${process.env.ALLOWED_ID}`;
  response.writeHead(isAllowed ? 200 : 403).end(isAllowed ? `hello ${caller}\n` : "");
});
watch(folder, (_, name) => name === "..data" && server.setSecureContext(credentials()));
server.listen(process.env.PORT);
