#include "tests/bench/echo.h"

#include <algorithm>
#include <cstdio>

#include "common/base/daemon.h"
#include "common/base/parent_watch.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "common/transport/tune.h"

namespace paramo::bench {
namespace {

absl::Status Serve(const std::string& ready_file, StopSignal& stop) {
  PARAMO_ASSIGN_OR_RETURN(auto grpc, ListenForGrpcEcho());
  PARAMO_ASSIGN_OR_RETURN(auto tcp, ListenForSocketEcho(""));
  PARAMO_ASSIGN_OR_RETURN(auto unix_socket,
                          ListenForSocketEcho(ready_file + ".socket"));
  PARAMO_RETURN_IF_ERROR(
      WriteReadyFile(ready_file, {{"grpc", grpc->address()},
                                  {"tcp", tcp->address()},
                                  {"unix", unix_socket->address()}}));
  return stop.Wait();
}

}  // namespace

const char* NameOf(Via via) {
  switch (via) {
    case Via::kGrpc:
      return "gRPC echo";
    case Via::kTcp:
      return "TCP";
    case Via::kUnix:
      return "unix socket";
  }
  return "";
}

size_t SourceBytes(uint64_t message_bytes) {
  constexpr uint64_t kMessages = 64;
  constexpr uint64_t kBytesMax = 64 << 20;
  return std::max(message_bytes,
                  std::min(kBytesMax, kMessages * message_bytes));
}

absl::StatusOr<std::unique_ptr<Requester>> ConnectEcho(
    Via via, const EchoAddresses& addresses, const EchoSizes& sizes) {
  if (via == Via::kGrpc) return ConnectGrpcEcho(addresses.grpc, sizes);
  return ConnectSocketEcho(
      via, via == Via::kTcp ? addresses.tcp : addresses.unix_path, sizes);
}

int RunEchoServer(const std::vector<std::string>& args) {
  std::string ready_file;
  int parent_fd = -1;
  Config config("paramo-bench", "the other end of the floors");
  config.Text("ready-file", ready_file, "tell here where it listens")
      .FlagOnly();
  config
      .Int("parent-fd", parent_fd, {-1, 1 << 20}, "stop when this pipe closes")
      .FlagOnly();
  if (auto status = config.ParseMain(args)) return *status;
  TuneProcess();
  StopSignal stop;
  const ParentWatch parent(parent_fd, absl::Seconds(5),
                           [&] { stop.Request(); });
  const absl::Status status = Serve(ready_file, stop);
  if (status.ok()) return kExitOk;
  std::fprintf(stderr, "paramo-bench: %s\n", ToString(status).c_str());
  return kExitFailure;
}

}  // namespace paramo::bench
