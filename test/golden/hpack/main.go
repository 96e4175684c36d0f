// Prints what Go's HPACK makes of headers, as JSON: every byte in Huffman code, and connections whose header
// blocks build on each other's dynamic table.
//
// Run it as `go run . > blocks.json`; test/rpc/http2/hpack.test.ts decodes them.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"

	"golang.org/x/net/http2/hpack"
)

type field struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Sensitive bool   `json:"sensitive"`
}

type block struct {
	Fields []field `json:"fields"`
	Hex    string  `json:"hex"`
}

func main() {
	var out struct {
		// Huffman code of the byte eight times over, which ends at a whole byte.
		Bytes []string `json:"bytes"`
		// Connection → its blocks, in order.
		Connections [][]block `json:"connections"`
	}
	for b := 0; b < 256; b++ {
		text := string(bytes.Repeat([]byte{byte(b)}, 8))
		out.Bytes = append(out.Bytes, hex.EncodeToString(hpack.AppendHuffmanString(nil, text)))
	}
	random := rand.New(rand.NewSource(1))
	for c := 0; c < 8; c++ {
		out.Connections = append(out.Connections, connection(random))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connection(random *rand.Rand) []block {
	var buffer bytes.Buffer
	encoder := hpack.NewEncoder(&buffer)
	var blocks []block
	for b := 0; b < 10; b++ {
		buffer.Reset()
		if random.Intn(4) == 0 {
			encoder.SetMaxDynamicTableSize(uint32(random.Intn(4097)))
		}
		fields := []field{
			{":method", "POST", false},
			{":scheme", "http", false},
			{":path", fmt.Sprintf("/Service/Method%d", random.Intn(5)), false},
			{":authority", fmt.Sprintf("/run/%d/api.sock", random.Intn(3)), false},
			{"te", "trailers", false},
			{"authorization", fmt.Sprintf("Bearer %d", random.Int()), true},
		}
		for i := random.Intn(8); i > 0; i-- {
			name := fmt.Sprintf("x-%d", random.Intn(12))
			value := bytes.Repeat([]byte{byte('!' + random.Intn(90))}, random.Intn(90))
			fields = append(fields, field{name, string(value), false})
		}
		for _, f := range fields {
			if err := encoder.WriteField(hpack.HeaderField(f)); err != nil {
				panic(err)
			}
		}
		blocks = append(blocks, block{fields, hex.EncodeToString(buffer.Bytes())})
	}
	return blocks
}
