// Two pods on go-spiffe: `peer serve ADDRESS CALLER-ID` and `peer call HOST:PORT SERVER-ID`. Both take X509-SVIDs and
// bundles from the socket that SPIFFE_ENDPOINT_SOCKET names. The caller makes one connection after another, each with a
// JWT-SVID that the server validates with its own bundles, and tells twice a second, as a line of JSON, what it met.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const audience = "peer"

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: peer serve|call ADDRESS PEER-ID")
	}
	ctx := context.Background()
	source, err := workloadapi.NewX509Source(ctx)
	check(err)
	tokens, err := workloadapi.NewJWTSource(ctx)
	check(err)
	peer, err := spiffeid.FromString(os.Args[3])
	check(err)
	if os.Args[1] == "serve" {
		check(serve(os.Args[2], peer, source, tokens))
	}
	call(ctx, os.Args[2], peer, source, tokens)
}

func serve(address string, caller spiffeid.ID, source *workloadapi.X509Source, bundles *workloadapi.JWTSource) error {
	server := http.Server{
		Addr:      address,
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(caller)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			svid, err := jwtsvid.ParseAndValidate(token, bundles, []string{audience})
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, svid.ID)
		}),
	}
	return server.ListenAndServeTLS("", "")
}

type met struct {
	Good   int      `json:"good"`
	Faults []string `json:"faults"`
	// Serial numbers of the server's and of the own certificates, and IDs of tokens, each once.
	Serials    []string `json:"serials"`
	OwnSerials []string `json:"ownSerials"`
	Tokens     []string `json:"tokens"`
}

func call(ctx context.Context, address string, server spiffeid.ID, source *workloadapi.X509Source, tokens *workloadapi.JWTSource) {
	seen := met{Faults: []string{}}
	told := time.Now()
	for {
		if err := once(ctx, address, server, source, tokens, &seen); err != nil {
			seen.Faults = append(seen.Faults, time.Now().Format(time.RFC3339Nano)+" "+err.Error())
		} else {
			seen.Good++
		}
		if time.Since(told) > 500*time.Millisecond {
			told = time.Now()
			check(json.NewEncoder(os.Stdout).Encode(seen))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func once(ctx context.Context, address string, server spiffeid.ID, source *workloadapi.X509Source, tokens *workloadapi.JWTSource, seen *met) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	token, err := tokens.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	own, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(server)),
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token.Marshal())
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if string(body) != own.ID.String() {
		return errors.New("the server says " + string(body))
	}
	add(&seen.Serials, response.TLS.PeerCertificates[0].SerialNumber.Text(16))
	add(&seen.OwnSerials, own.Certificates[0].SerialNumber.Text(16))
	add(&seen.Tokens, fmt.Sprint(token.Claims["jti"]))
	return nil
}

func add(list *[]string, value string) {
	if !slices.Contains(*list, value) {
		*list = append(*list, value)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
