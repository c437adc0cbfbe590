// One connection through a proxy: two sockets and what is on the way between
// them. Internal to the proxy; used on its thread only.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "tests/chaos/proxy.h"

namespace paramo::chaos {

// Directions, and the side that each reads from.
inline constexpr int kToServer = 0;
inline constexpr int kToClient = 1;

struct ProxyLink {
  struct Piece {
    std::string bytes;
    absl::Time due;
  };
  // One direction.
  struct Way {
    std::deque<Piece> pieces;
    size_t queued_bytes = 0;
    bool ended = false;  // the source has closed
    bool held = false;   // nothing passes for now
    bool dead = false;   // bytes vanish
  };

  // Takes the client's socket; starts to connect from `source_ip` to `target`,
  // twice if what comes is to be `copied`.
  ProxyLink(int client, const std::string& target, std::string source_ip,
            bool copied);
  ~ProxyLink();
  ProxyLink(const ProxyLink&) = delete;
  ProxyLink& operator=(const ProxyLink&) = delete;

  bool broken() const { return broken_; }
  const std::string& source() const { return source_; }
  // Resets both sides, as a machine that has forgotten the connection does.
  void Reset();

  // Three entries: client, server, copy.
  void AddPollFds(absl::Time now, std::vector<pollfd>& fds) const;
  // When a piece that waits is due; InfiniteFuture if none.
  absl::Time NextDue() const;
  // After poll: moves what can be moved.
  void Pump(const pollfd* fds, ProxyFault fault, absl::Time now, BitGen& random,
            ProxyCounters& counters);

  std::array<Way, 2> ways;

 private:
  void Read(int direction, ProxyFault fault, absl::Time now, BitGen& random,
            ProxyCounters& counters);
  void Write(int direction, absl::Time now, ProxyCounters& counters);
  void ServeCopy(short events);
  void ForwardEnds();

  const std::string source_;
  std::array<int, 2> fds_;  // client, server: fds_[d] is what d reads from
  int copy_ = -1;           // a second connection to the server
  std::string copy_pending_;
  std::array<bool, 2> shut_ = {};  // the end has been passed on
  bool broken_ = false;
};

// A socket that is connecting to ip:port from `source_ip`; -1 if it cannot.
int StartConnecting(const std::string& target, const std::string& source_ip);

}  // namespace paramo::chaos
