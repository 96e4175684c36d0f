#!/bin/sh
# Builds the client. Usage: sh build.sh FOLDER_OF_WORKLOAD_PROTO OUTPUT_FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
protoc -I "$1" -I /usr/include --cpp_out="$2" --grpc_out="$2" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" workload.proto
g++ -std=c++17 -I "$2" $(pkg-config --cflags grpc++ protobuf) \
  "$here/client.cc" "$2/workload.pb.cc" "$2/workload.grpc.pb.cc" \
  -o "$2/client" $(pkg-config --libs grpc++ protobuf) -pthread
