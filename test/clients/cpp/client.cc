// A workload on gRPC C++ alone, since C++ has no SPIFFE library that is packaged; ../README.md tells its commands.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "workload.grpc.pb.h"

namespace {

const char kAudience[] = "signet-test";

using Stub = SpiffeWorkloadAPI::Stub;

std::unique_ptr<grpc::ClientContext> context(int seconds = 10) {
  auto made = std::make_unique<grpc::ClientContext>();
  made->AddMetadata("workload.spiffe.io", "true");
  made->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
  return made;
}

void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error_message());
}

// The first message of a stream; throws the status of one that ends before.
template <typename Response, typename Open>
Response first(Open open) {
  auto call = context();
  Response response;
  auto reader = open(call.get());
  if (reader->Read(&response)) {
    call->TryCancel();
    reader->Finish();
    return response;
  }
  check(reader->Finish());
  throw std::runtime_error("the stream ended without a message");
}

// The first of certificates that lie one after another, in hex. Theirs are longer than 255 bytes.
std::string leaf(const std::string& der) {
  size_t length = 4 + (static_cast<unsigned char>(der.at(2)) << 8) + static_cast<unsigned char>(der.at(3));
  std::string hex;
  char digits[3];
  for (size_t i = 0; i < length; i++) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(der.at(i)));
    hex += digits;
  }
  return hex;
}

std::string show(const X509SVID& svid) {
  return "{\"id\":\"" + svid.spiffe_id() + "\",\"hint\":\"" + svid.hint() + "\",\"leaf\":\"" +
         leaf(svid.x509_svid()) + "\"}";
}

template <typename Bundles>
std::string names(const Bundles& bundles) {
  std::set<std::string> sorted;
  for (const auto& [id, bundle] : bundles) sorted.insert(id.substr(sizeof "spiffe://" - 1));
  std::string list;
  for (const auto& name : sorted) list += (list.empty() ? "\"" : ",\"") + name + "\"";
  return "[" + list + "]";
}

void once(Stub& stub) {
  auto svids = first<X509SVIDResponse>([&](auto* call) { return stub.FetchX509SVID(call, {}); });
  auto x509 = first<X509BundlesResponse>([&](auto* call) { return stub.FetchX509Bundles(call, {}); });
  auto jwt = first<JWTBundlesResponse>([&](auto* call) { return stub.FetchJWTBundles(call, {}); });
  JWTSVIDRequest wanted;
  wanted.add_audience(kAudience);
  JWTSVIDResponse tokens;
  check(stub.FetchJWTSVID(context().get(), wanted, &tokens));
  ValidateJWTSVIDRequest asked;
  asked.set_audience(kAudience);
  asked.set_svid(tokens.svids(0).svid());
  ValidateJWTSVIDResponse valid;
  check(stub.ValidateJWTSVID(context().get(), asked, &valid));
  std::string list;
  for (const auto& svid : svids.svids()) list += (list.empty() ? "" : ",") + show(svid);
  std::cout << "{\"svids\":[" << list << "],\"x509\":" << names(x509.bundles())
            << ",\"jwt\":" << names(jwt.bundles()) << ",\"token\":\"" << tokens.svids(0).spiffe_id()
            << "\",\"validated\":\"" << valid.spiffe_id() << "\"}" << std::endl;
}

void watch(Stub& stub) {
  std::thread([] {
    while (std::getchar() != EOF) {
    }
    std::_Exit(0);
  }).detach();
  std::string last;
  for (;;) {
    auto call = context(3600);
    // Without it a call fails at once while the channel connects, and nobody drives the connection in between.
    call->set_wait_for_ready(true);
    auto reader = stub.FetchX509SVID(call.get(), {});
    X509SVIDResponse response;
    while (reader->Read(&response)) {
      std::string current = show(response.svids(0));
      if (current != last) std::cout << current << std::endl;
      last = current;
    }
    grpc::Status status = reader->Finish();
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) check(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: client once|watch SOCKET" << std::endl;
    return 1;
  }
  Stub stub(grpc::CreateChannel(argv[2], grpc::InsecureChannelCredentials()));
  try {
    if (std::string(argv[1]) == "once") once(stub);
    else watch(stub);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
