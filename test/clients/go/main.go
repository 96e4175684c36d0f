// A workload on go-spiffe; ../README.md tells its commands.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const audience = "signet-test"

type svid struct {
	ID   string `json:"id"`
	Hint string `json:"hint"`
	// The certificate in hex.
	Leaf string `json:"leaf"`
}

type seen struct {
	SVIDs     []svid   `json:"svids"`
	X509      []string `json:"x509"`
	JWT       []string `json:"jwt"`
	Token     string   `json:"token"`
	Validated string   `json:"validated"`
}

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("usage: client once|watch SOCKET"))
	}
	run := map[string]func(context.Context, workloadapi.ClientOption) error{"once": once, "watch": watch}[os.Args[1]]
	if run == nil {
		fail(fmt.Errorf("no command %s", os.Args[1]))
	}
	if err := run(context.Background(), workloadapi.WithAddr(os.Args[2])); err != nil {
		fail(err)
	}
}

func once(ctx context.Context, address workloadapi.ClientOption) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := workloadapi.New(ctx, address)
	if err != nil {
		return err
	}
	defer client.Close()
	x509, err := client.FetchX509Context(ctx)
	if err != nil {
		return err
	}
	var out seen
	for _, s := range x509.SVIDs {
		out.SVIDs = append(out.SVIDs, svid{s.ID.String(), s.Hint, hex.EncodeToString(s.Certificates[0].Raw)})
	}
	bundles, err := client.FetchX509Bundles(ctx)
	if err != nil {
		return err
	}
	for _, bundle := range bundles.Bundles() {
		if !bundle.Empty() {
			out.X509 = append(out.X509, bundle.TrustDomain().Name())
		}
	}
	jwtBundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	for _, bundle := range jwtBundles.Bundles() {
		if !bundle.Empty() {
			out.JWT = append(out.JWT, bundle.TrustDomain().Name())
		}
	}
	slices.Sort(out.X509)
	slices.Sort(out.JWT)
	token, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	out.Token = token.ID.String()
	// The library's own check of the signature, and the server's.
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), jwtBundles, []string{audience}); err != nil {
		return err
	}
	valid, err := client.ValidateJWTSVID(ctx, token.Marshal(), audience)
	if err != nil {
		return err
	}
	out.Validated = valid.ID.String()
	return print(out)
}

func watch(ctx context.Context, address workloadapi.ClientOption) error {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(address))
	if err != nil {
		return err
	}
	defer source.Close()
	tokens, err := workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(address))
	if err != nil {
		return err
	}
	defer tokens.Close()
	bundles, err := workloadapi.NewBundleSource(ctx, workloadapi.WithClientOptions(address))
	if err != nil {
		return err
	}
	defer bundles.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	last := ""
	for {
		current, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		if _, err := bundles.GetBundleForTrustDomain(current.ID.TrustDomain()); err != nil {
			return err
		}
		leaf := hex.EncodeToString(current.Certificates[0].Raw)
		if leaf != last {
			last = leaf
			if err := print(svid{current.ID.String(), current.Hint, leaf}); err != nil {
				return err
			}
		}
		select {
		case <-ended:
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func print(value any) error {
	return json.NewEncoder(os.Stdout).Encode(value)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
