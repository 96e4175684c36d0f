"""A workload on the Python `spiffe` package; ../README.md tells its commands."""

import json
import sys
import threading
import time

from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtSource, WorkloadApiClient, X509Source

AUDIENCE = "signet-test"


def show(value):
    print(json.dumps(value), flush=True)


def svid_of(svid):
    return {
        "id": str(svid.spiffe_id),
        "leaf": svid.leaf.public_bytes(Encoding.DER).hex(),
    }


def once(socket):
    with WorkloadApiClient(socket) as client:
        context = client.fetch_x509_context(timeout=10)
        x509 = client.fetch_x509_bundles(timeout=10)
        jwt = client.fetch_jwt_bundles(timeout=10)
        token = client.fetch_jwt_svid({AUDIENCE}, timeout=10)
        valid = client.validate_jwt_svid(token.token, AUDIENCE, timeout=10)
        show(
            {
                "svids": [svid_of(svid) for svid in context.x509_svids],
                "x509": sorted(str(b.trust_domain) for b in x509.bundles if b.x509_authorities),
                "jwt": sorted(str(b.trust_domain) for b in jwt.bundles if b.jwt_authorities),
                "token": str(token.spiffe_id),
                "validated": str(valid.spiffe_id),
            }
        )


def watch(socket):
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with X509Source(socket_path=socket, timeout_in_seconds=10) as source:
        with JwtSource(socket_path=socket, timeout_in_seconds=10) as tokens:
            assert tokens.bundles
            last = None
            while not ended.is_set():
                current = svid_of(source.svid)
                if current != last:
                    last = current
                    show(current)
                time.sleep(0.02)


if __name__ == "__main__":
    {"once": once, "watch": watch}[sys.argv[1]](sys.argv[2])
