// Command templates renders every corpus*.json with Go's own text/template and writes what each
// (template, data) pair gives, or which error in which words: corpus-X.json into golden-X.jsonl.
// All may use the data of corpus.json beside their own.
//
// Usage: go run . [folder]   (the folder to write to; default is this one)
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

func read(path string) (c corpus, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func renderAll(c corpus, shared map[string]json.RawMessage) ([]result, error) {
	var results []result
	for _, group := range c.Groups {
		for _, text := range group.Templates {
			for _, name := range group.Data {
				raw, ok := c.Data[name]
				if !ok {
					raw = shared[name]
				}
				// The API server sends no blanks; what is kept as JSON would show them.
				var compact bytes.Buffer
				if err := json.Compact(&compact, raw); err != nil {
					return nil, fmt.Errorf("data %s: %w", name, err)
				}
				data := spireentry.New()
				if err := json.Unmarshal(compact.Bytes(), data); err != nil {
					return nil, fmt.Errorf("data %s: %w", name, err)
				}
				r := result{Template: text, Data: name}
				r.Class, r.Output, r.Error = render(text, data)
				found := address.FindString(r.Output + r.Error)
				if found != "" && !strings.Contains(text, found) {
					return nil, fmt.Errorf("%q prints an address", text)
				}
				results = append(results, r)
			}
		}
	}
	return results, nil
}

func write(path string, results []result) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

func run(folder string) error {
	// Kubernetes turns timestamps into local time; the operator runs in UTC.
	time.Local = time.UTC
	shared, err := read("corpus.json")
	if err != nil {
		return err
	}
	paths, err := filepath.Glob("corpus*.json")
	if err != nil {
		return err
	}
	for _, path := range paths {
		c, err := read(path)
		if err != nil {
			return err
		}
		results, err := renderAll(c, shared.Data)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name := strings.Replace(strings.TrimSuffix(path, ".json"), "corpus", "golden", 1)
		if err := write(filepath.Join(folder, name+".jsonl"), results); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	folder := "."
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := run(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
