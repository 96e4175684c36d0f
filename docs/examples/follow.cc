#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <iostream>

#include "workload.grpc.pb.h"

int main() {
  auto channel = grpc::CreateChannel(std::getenv("SPIFFE_ENDPOINT_SOCKET"),
                                     grpc::InsecureChannelCredentials());
  auto api = SpiffeWorkloadAPI::NewStub(channel);
  grpc::ClientContext call;
  call.set_wait_for_ready(true);
  call.AddMetadata("workload.spiffe.io", "true");  // without it every call is refused
  auto stream = api->FetchX509SVID(&call, {});
  // Each message is all there is, and one comes at every rotation. Open the stream again when it ends.
  for (X509SVIDResponse all; stream->Read(&all);) {
    std::cout << all.svids(0).spiffe_id() << " " << all.svids(0).x509_svid().size() << " bytes"
              << std::endl;
  }
  return 1;
}
