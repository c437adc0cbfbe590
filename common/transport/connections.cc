#include "common/transport/connections.h"

#include <netinet/in.h>

#include <algorithm>
#include <utility>

namespace paramo {
namespace {

// A peer that is refused a thousand times a second costs 50 sweeps of them;
// one that closed its connections may be refused for so long at most.
constexpr absl::Duration kSweepPeriod = absl::Milliseconds(20);

std::string Bytes(const void* data, size_t bytes) {
  return std::string(static_cast<const char*>(data), bytes);
}

}  // namespace

Connection ConnectionOf(int fd) {
  Connection connection{fd, 0};
  socklen_t bytes = sizeof connection.cookie;
  if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &connection.cookie, &bytes) != 0)
    connection.cookie = 0;  // no socket has it
  return connection;
}

bool IsOpen(const Connection& connection) {
  return connection.cookie != 0 &&
         ConnectionOf(connection.fd).cookie == connection.cookie;
}

std::string PeerOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET)
    return Bytes(&reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return Bytes(&v6.s6_addr[12], 4);
  return Bytes(&v6, 8);
}

Connections::Connections(Limits limits,
                         std::function<bool(const Connection&)> is_open)
    : limits_(limits), is_open_(std::move(is_open)) {}

Connections::Verdict Connections::Add(const std::string& peer,
                                      const Connection& connection,
                                      absl::Time now) {
  Verdict verdict = Check(peer);
  if (verdict != Verdict::kAdmitted) {
    Sweep(now, kSweepPeriod);
    verdict = Check(peer);
  }
  if (verdict != Verdict::kAdmitted) return verdict;
  peers_[peer].push_back(connection);
  ++total_;
  return verdict;
}

Connections::Verdict Connections::Check(const std::string& peer) const {
  if (total_ >= limits_.total) return Verdict::kFull;
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second.size() >= limits_.per_peer
             ? Verdict::kPeerFull
             : Verdict::kAdmitted;
}

void Connections::Sweep(absl::Time now, absl::Duration period) {
  if (now - last_sweep_ < period) return;
  last_sweep_ = now;
  total_ = 0;
  const auto is_closed = [this](const Connection& connection) {
    return !is_open_(connection);
  };
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    std::vector<Connection>& open = peer->second;
    open.erase(std::remove_if(open.begin(), open.end(), is_closed), open.end());
    total_ += open.size();
    if (open.empty()) {
      peers_.erase(peer++);
    } else {
      ++peer;
    }
  }
}

}  // namespace paramo
