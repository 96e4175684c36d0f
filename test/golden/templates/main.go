// Command templates renders corpus.json with Go's own text/template and writes golden.jsonl:
// what every (template, data) pair gives, or which error in which words.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"text/template"
	"time"

	"signet.dev/golden/templates/spireentry"
)

type corpus struct {
	Data   map[string]json.RawMessage `json:"data"`
	Groups []struct {
		About     string   `json:"about"`
		Data      []string `json:"data"`
		Templates []string `json:"templates"`
	} `json:"groups"`
}

type result struct {
	Template string `json:"template"`
	Data     string `json:"data"`
	Class    string `json:"class"`
	Output   string `json:"output,omitempty"`
	Error    string `json:"error,omitempty"`
}

// addresses differ from run to run: no pair of the corpus may print one.
var address = regexp.MustCompile(`0x[0-9a-f]{9,}`)

func render(text string, data any) (class, output, message string) {
	t, err := template.New("t").Parse(text)
	if err != nil {
		return "parse", "", err.Error()
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "exec", "", err.Error()
	}
	return "ok", out.String(), ""
}

func run() error {
	// Kubernetes turns timestamps into local time; the operator runs in UTC.
	time.Local = time.UTC
	raw, err := os.ReadFile("corpus.json")
	if err != nil {
		return err
	}
	var c corpus
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	var results []result
	for _, group := range c.Groups {
		for _, text := range group.Templates {
			for _, name := range group.Data {
				data := spireentry.New()
				if err := json.Unmarshal(c.Data[name], data); err != nil {
					return fmt.Errorf("data %s: %w", name, err)
				}
				r := result{Template: text, Data: name}
				r.Class, r.Output, r.Error = render(text, data)
				found := address.FindString(r.Output + r.Error)
				if found != "" && !strings.Contains(text, found) {
					return fmt.Errorf("%q prints an address", text)
				}
				results = append(results, r)
			}
		}
	}
	out, err := os.Create("golden.jsonl")
	if err != nil {
		return err
	}
	defer out.Close()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
