import functools, os, ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = os.environ.get("SPIFFE_CREDENTIAL_FOLDER", "/var/run/secrets/spiffe.io")

@functools.lru_cache(maxsize=1)
def context_of(shown):  # a new one for each SVID: in one that is in use, key and certificate change one by one
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(f"{shown}/tls.crt", f"{shown}/tls.key")
    context.load_verify_locations(f"{shown}/ca.crt")
    return context

class Server(ThreadingHTTPServer):
    def get_request(self):
        connection, address = super().get_request()
        context = context_of(os.path.realpath(f"{folder}/..data"))  # one link, so the files are of one SVID
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.connection.getpeercert()["subjectAltName"]
        allowed = ("URI", os.environ["ALLOWED_ID"]) in names
        self.send_response(200 if allowed else 403)
        self.end_headers()
        self.wfile.write(f"hello {names}\n".encode() if allowed else b"")

Server(("", int(os.environ["PORT"])), Handler).serve_forever()
