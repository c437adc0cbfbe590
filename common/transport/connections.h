// Who is connected: the live connections of one server, by peer, and the
// decision whether one more may come in.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/base/limits.h"

namespace paramo {

// One connection, for as long as it is open. The kernel gives a socket's
// cookie to no other socket, so a descriptor's number that was closed and used
// again is never taken for the connection that had it before.
struct Connection {
  int fd = -1;
  uint64_t cookie = 0;
};

Connection ConnectionOf(int fd);

// Asks the kernel. May be called at any time, whoever owns the descriptor.
bool IsOpen(const Connection& connection);

// What counts as one peer: an IPv4 address, or 64 bits of an IPv6 address,
// because a host has all that follow.
std::string PeerOf(const sockaddr_storage& address);

// A connection is handed to gRPC, which closes it without telling us; so the
// closed ones are found by asking about each (Sweep): before anything is
// refused, and when the owner likes. 8192 questions take about a millisecond.
// Threads: one.
class Connections {
 public:
  enum class Verdict { kAdmitted, kPeerFull, kFull };

  struct Limits {
    size_t per_peer = kConnectionsPerPeerMax;
    size_t total = kConnectionsMax;
  };

  // `is_open`: IsOpen, or a test's.
  explicit Connections(
      Limits limits, std::function<bool(const Connection&)> is_open = &IsOpen);

  // Admits and remembers it, or says which limit it would break.
  Verdict Add(const std::string& peer, const Connection& connection,
              absl::Time now);

  // Forgets those that are closed, unless it did so less than `period` ago.
  void Sweep(absl::Time now, absl::Duration period = absl::ZeroDuration());

  // Open when last looked at; those closed since are still counted.
  size_t total() const { return total_; }
  size_t peers() const { return peers_.size(); }

 private:
  Verdict Check(const std::string& peer) const;

  const Limits limits_;
  const std::function<bool(const Connection&)> is_open_;
  absl::flat_hash_map<std::string, std::vector<Connection>> peers_;
  size_t total_ = 0;
  absl::Time last_sweep_ = absl::InfinitePast();
};

}  // namespace paramo
