// Runs csi-sanity against a node driver whose volumes are ephemeral, so that there is no controller to make them.
//
// The suite calls a driver as no kubelet does: with volumes that a controller made, without the pod's facts and
// without read-only. This program stands between the two and adds to each call what kubelet would.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"k8s.io/klog/v2"
)

// What kubelet knows of the pod whose volume is published.
type pod struct {
	VolumeContext map[string]string `json:"volumeContext"`
	Secrets       map[string]string `json:"secrets"`
}

type outcome struct{ failed bool }

func (o *outcome) Fail() { o.failed = true }

func main() {
	endpoint := flag.String("endpoint", "", "the driver's socket")
	folder := flag.String("pod-folder", "", "kubelet's folder of the pod; made and removed for each test")
	facts := flag.String("pod", "{}", "volumeContext and secrets of a publish, as JSON")
	report := flag.String("report", "", "file for the results as JSON")
	flag.Parse()
	var published pod
	if err := json.Unmarshal([]byte(*facts), &published); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	config := sanity.NewTestConfig()
	config.Address = "unix://" + *endpoint
	config.TargetPath = *folder
	config.StagingPath = ""
	config.DialOptions = append(config.DialOptions, grpc.WithUnaryInterceptor(published.complete))

	klog.SetOutput(ginkgo.GinkgoWriter)
	result := outcome{}
	tests := sanity.GinkgoTest(&config)
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	reporter.JSONReport = *report
	// The report names them as skipped.
	suite.SkipStrings = []string{`\[Controller Server\]`}
	ginkgo.RunSpecs(&result, "csi-sanity", suite, reporter)
	tests.Finalize()
	if result.failed {
		os.Exit(1)
	}
}

func (p pod) complete(
	ctx context.Context, method string, request, reply any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	switch request := request.(type) {
	case *csi.CreateVolumeRequest:
		answer(reply, &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: request.GetName()}})
		return nil
	case *csi.DeleteVolumeRequest:
		return nil
	case *csi.ControllerGetCapabilitiesRequest:
		// None that is asked about: there is no controller.
		return nil
	case *csi.NodePublishVolumeRequest:
		// Without a path or a capability the call is about something else.
		request.VolumeContext = p.VolumeContext
		request.Secrets = p.Secrets
		request.Readonly = true
	}
	err := invoke(ctx, method, request, reply, conn, options...)
	if response, ok := reply.(*csi.GetPluginCapabilitiesResponse); ok && err == nil && isAboutNode() {
		// Tests of the node service that make volumes are skipped without one.
		response.Capabilities = append(response.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
				Type: csi.PluginCapability_Service_CONTROLLER_SERVICE,
			}},
		})
	}
	return err
}

func isAboutNode() bool {
	containers := ginkgo.CurrentSpecReport().ContainerHierarchyTexts
	return len(containers) > 0 && containers[0] == "Node Service"
}

func answer(reply any, message proto.Message) {
	proto.Merge(reply.(proto.Message), message)
}
