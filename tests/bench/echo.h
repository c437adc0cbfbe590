// The floors of whatever goes over a wire: another process that reads requests
// of one size and answers each with so many bytes, doing nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/bench/drive.h"

namespace paramo::bench {

enum class Via { kGrpc, kTcp, kUnix };
inline constexpr Via kVias[] = {Via::kGrpc, Via::kTcp, Via::kUnix};
const char* NameOf(Via via);  // "gRPC echo"

// Of a whole connection: what its client says first.
struct EchoSizes {
  uint64_t request = 0;
  uint64_t answer = 0;
};

// Where an echo server listens, by way: host:port, or a path.
struct EchoAddresses {
  std::string grpc;
  std::string tcp;
  std::string unix_path;
};

// A connection. gRPC: one stream, with the settings of Paramo's own channels
// and one thread, which is the caller's. Sockets: one thread, the caller's.
absl::StatusOr<std::unique_ptr<Requester>> ConnectEcho(
    Via via, const EchoAddresses& addresses, const EchoSizes& sizes);

// The server's main, in a process of its own: `--parent-fd FD --ready-file
// FILE`.
int RunEchoServer(const std::vector<std::string>& args);

// Memory that messages of that size are sent from, in turn: as much as a
// client's own would be (64 of them, 64 MB at most), so that the caches serve
// both alike.
size_t SourceBytes(uint64_t message_bytes);

// ---- Parts of it
// -------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Requester>> ConnectGrpcEcho(
    const std::string& address, const EchoSizes& sizes);
absl::StatusOr<std::unique_ptr<Requester>> ConnectSocketEcho(
    Via via, const std::string& address, const EchoSizes& sizes);

// One of the server's. Stops when destroyed.
class EchoListener {
 public:
  virtual ~EchoListener() = default;
  virtual std::string address() const = 0;
};
absl::StatusOr<std::unique_ptr<EchoListener>> ListenForGrpcEcho();
// `path`: of a unix socket; empty: TCP on a free port.
absl::StatusOr<std::unique_ptr<EchoListener>> ListenForSocketEcho(
    const std::string& path);

}  // namespace paramo::bench
