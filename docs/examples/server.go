package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	// The socket is the one that SPIFFE_ENDPOINT_SOCKET names; the source follows every rotation.
	source, err := workloadapi.NewX509Source(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	caller := spiffeid.RequireFromString(os.Getenv("ALLOWED_ID"))
	server := http.Server{
		Addr:      ":" + os.Getenv("PORT"),
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(caller)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "hello", r.TLS.PeerCertificates[0].URIs[0])
		}),
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
