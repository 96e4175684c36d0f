import os, ssl, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = os.environ.get("SPIFFE_CREDENTIAL_FOLDER", "/var/run/secrets/spiffe.io")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.verify_mode = ssl.CERT_REQUIRED

def load(shown=None):
    now = os.path.realpath(f"{folder}/..data")  # one link, so key and certificate are a pair
    if now != shown:
        context.load_cert_chain(f"{now}/tls.crt", f"{now}/tls.key")
        context.load_verify_locations(f"{now}/ca.crt")
    return now

def follow(shown):
    while True:
        time.sleep(1)
        shown = load(shown)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.connection.getpeercert()["subjectAltName"]
        allowed = ("URI", os.environ["ALLOWED_ID"]) in names
        self.send_response(200 if allowed else 403)
        self.end_headers()
        self.wfile.write(f"hello {names}\n".encode() if allowed else b"")

threading.Thread(target=follow, args=[load()], daemon=True).start()
server = ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
