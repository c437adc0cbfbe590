// What the files of DataServer share. Included by data_server.cc and the two
// server_*.cc only, because it pulls in gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "common/metrics/metrics.h"
#include "common/transport/data_server.h"
#include "common/transport/live_calls.h"
#include "paramo/v1/data.grpc.pb.h"

namespace paramo {

// Service Data with raw bytes both ways.
using RawDataService =
    v1::Data::WithRawMethod_Push<v1::Data::WithRawMethod_Pull<
        v1::Data::WithRawMethod_PushPull<v1::Data::WithRawMethod_Stream<
            v1::Data::WithRawMethod_Replicate<v1::Data::Service>>>>>;

// Streams open, and those that the server ended before their clients did.
struct StreamCounters {
  explicit StreamCounters(MetricsRegistry& registry);

  Gauge& open;
  Counter& refused;        // by the handler, or what it says of shared memory
  Counter& unsent_bytes;   // replies piled up
  Counter& write_timeout;  // a reply was not taken
  Counter& damaged;        // a request was not what its seal says
};

class ServerStream;

// A completion queue and the thread that serves it. Calls stay on the loop
// that accepted them.
struct ServerLoop {
  const DataServer::Options& options;
  RawDataService& service;
  LiveCalls& live;
  StreamCounters& counters;
  std::atomic<size_t>& stream_count;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::thread thread;
  // Open streams, for the write timeout. Touched by the loop's thread only.
  absl::flat_hash_map<ServerStream*, std::weak_ptr<ServerStream>> streams;
};

// Wait for one more call of that kind on `loop`; each accepted call asks for
// the next one.
void AcceptStream(ServerLoop& loop, DataMethod method);
void AcceptUnary(ServerLoop& loop, DataMethod method);

// Ends the streams whose current write is older than the write timeout.
void SweepStreams(ServerLoop& loop);

inline grpc::Status ToGrpc(const absl::Status& status) {
  // The code numbers are the same by definition of both.
  return grpc::Status(
      static_cast<grpc::StatusCode>(status.code()),
      std::string(status.message().data(), status.message().size()));
}

}  // namespace paramo
