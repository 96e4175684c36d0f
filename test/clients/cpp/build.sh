#!/bin/sh
# Builds the client. Usage: sh build.sh FOLDER_OF_WORKLOAD_PROTO OUTPUT_FOLDER
set -eu
here=$(cd "$(dirname "$0")" && pwd)
protoc -I "$1" -I /usr/include --cpp_out="$2" --grpc_out="$2" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" workload.proto
cd "$2"
g++ -std=c++17 -c $(pkg-config --cflags grpc++ protobuf) workload.pb.cc workload.grpc.pb.cc
for source in "$here/client.cc" "$here/../../../docs/examples/follow.cc"; do
  g++ -std=c++17 -I . $(pkg-config --cflags grpc++ protobuf) "$source" workload.pb.o workload.grpc.pb.o \
    -o "$(basename "$source" .cc)" $(pkg-config --libs grpc++ protobuf) -pthread
done
