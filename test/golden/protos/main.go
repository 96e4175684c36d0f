// Prints what the published Go modules of CSI, kubelet's plugin registration, SPIFFE, gRPC and Envoy declare on the wire, as
// JSON: services, messages and enums, each field in one line as a .proto file would have it.
//
// Run it as `go run . > descriptors.json`; test/rpc/descriptors.test.ts compares our own protocol files with it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/container-storage-interface/spec/lib/go/csi"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	_ "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	_ "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type dump struct {
	// Path of the RPC → its declaration.
	RPCs map[string]string `json:"rpcs"`
	// Message → field → its declaration.
	Messages map[string]map[string]string `json:"messages"`
	// Enum → value → number.
	Enums map[string]map[string]int32 `json:"enums"`
}

// The Workload API has no package.
var packages = map[protoreflect.FullName]bool{
	"": true, "csi.v1": true, "pluginregistration": true,
	"grpc.reflection.v1": true, "grpc.reflection.v1alpha": true,
}

// Envoy's packages are large: only these files of theirs.
var envoyFiles = map[string]bool{
	"envoy/config/core/v3/base.proto":                                             true,
	"envoy/config/core/v3/extension.proto":                                        true,
	"envoy/extensions/transport_sockets/tls/v3/common.proto":                      true,
	"envoy/extensions/transport_sockets/tls/v3/secret.proto":                      true,
	"envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto": true,
	"envoy/service/discovery/v3/discovery.proto":                                  true,
	"envoy/service/secret/v3/sds.proto":                                           true,
	"envoy/type/v3/semantic_version.proto":                                        true,
	"google/rpc/status.proto":                                                     true,
}

func main() {
	out := dump{map[string]string{}, map[string]map[string]string{}, map[string]map[string]int32{}}
	found := map[string]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if packages[file.Package()] || envoyFiles[file.Path()] {
			found[file.Path()] = true
			out.addServices(file.Services())
			out.addMessages(file.Messages())
			out.addEnums(file.Enums())
		}
		return true
	})
	if len(found) != len(packages)+len(envoyFiles) {
		fmt.Fprintf(os.Stderr, "only these files are registered: %v\n", found)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (out dump) addServices(services protoreflect.ServiceDescriptors) {
	for i := 0; i < services.Len(); i++ {
		methods := services.Get(i).Methods()
		for j := 0; j < methods.Len(); j++ {
			method := methods.Get(j)
			path := fmt.Sprintf("/%s/%s", services.Get(i).FullName(), method.Name())
			out.RPCs[path] = fmt.Sprintf("%s%s returns %s%s",
				stream(method.IsStreamingClient()), method.Input().FullName(),
				stream(method.IsStreamingServer()), method.Output().FullName())
		}
	}
}

func (out dump) addMessages(messages protoreflect.MessageDescriptors) {
	for i := 0; i < messages.Len(); i++ {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue
		}
		fields := map[string]string{}
		for j := 0; j < message.Fields().Len(); j++ {
			field := message.Fields().Get(j)
			fields[string(field.Name())] = declaration(field)
		}
		out.Messages[string(message.FullName())] = fields
		out.addMessages(message.Messages())
		out.addEnums(message.Enums())
	}
}

func (out dump) addEnums(enums protoreflect.EnumDescriptors) {
	for i := 0; i < enums.Len(); i++ {
		values := map[string]int32{}
		for j := 0; j < enums.Get(i).Values().Len(); j++ {
			value := enums.Get(i).Values().Get(j)
			values[string(value.Name())] = int32(value.Number())
		}
		out.Enums[string(enums.Get(i).FullName())] = values
	}
}

// declaration is a field in the words of a .proto file: "repeated string = 2", "map<string, string> = 3".
func declaration(field protoreflect.FieldDescriptor) string {
	text := fmt.Sprintf("%s = %d", typeName(field), field.Number())
	switch {
	case field.IsMap():
		text = fmt.Sprintf("map<%s, %s> = %d",
			typeName(field.MapKey()), typeName(field.MapValue()), field.Number())
	case field.IsList():
		text = "repeated " + text
	case field.HasOptionalKeyword():
		text = "optional " + text
	case field.ContainingOneof() != nil:
		text = fmt.Sprintf("oneof %s: %s", field.ContainingOneof().Name(), text)
	}
	return text
}

func typeName(field protoreflect.FieldDescriptor) string {
	if field.Message() != nil {
		return string(field.Message().FullName())
	}
	if field.Enum() != nil {
		return string(field.Enum().FullName())
	}
	return field.Kind().String()
}

func stream(streams bool) string {
	if streams {
		return "stream "
	}
	return ""
}
