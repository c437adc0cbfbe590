// When each server was last heard, and how far it has got. It stands beside
// the rest of the coordinator with a lock of its own, so that a heartbeat
// costs a map lookup and never waits behind a slow request.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"

namespace paramo {

inline constexpr absl::Duration kHeartbeatPeriod = absl::Milliseconds(50);
// Six heartbeats. A false suspicion costs a registration, never safety.
inline constexpr absl::Duration kSuspicionTime = absl::Milliseconds(300);

// Holds the servers that are up, and no others. Threads: any. Time is the
// coordinator's waking time.
class Liveness {
 public:
  struct Silent {
    uint32_t server;
    uint64_t incarnation;
    absl::Duration silence;
  };

  // The server registered at `now`, or is given `grace` after a restart of
  // the coordinator. Replaces an earlier incarnation.
  void Track(uint32_t server, uint64_t incarnation, absl::Duration now,
             absl::Duration grace = absl::ZeroDuration());
  void Forget(uint32_t server, uint64_t incarnation);

  // How far the rounds of a job have got: the highest open one that any server
  // has told of, the dead servers' words included; it only grows.
  uint64_t OpenRound(uint32_t job) const;

  // Returns whether the applied version grew. `open_rounds`, by job, are noted
  // in the same breath: who sees the version sees the rounds.
  // Errors: NOT_FOUND  not up under that incarnation; it must register again
  absl::StatusOr<bool> Hear(
      uint32_t server, uint64_t incarnation, uint64_t applied_version,
      absl::Duration now, const std::map<uint32_t, uint64_t>& open_rounds = {});

  size_t Count() const;

  // Servers unheard for longer than kSuspicionTime.
  std::vector<Silent> FindSilent(absl::Duration now) const;

  // Servers that are up and have not reported `version` as applied.
  std::vector<uint32_t> FindBehind(uint64_t version) const;

 private:
  struct Server {
    uint64_t incarnation = 0;
    uint64_t applied_version = 0;
    absl::Duration last_heard;
  };

  mutable Mutex mu_;
  std::map<uint32_t, Server> servers_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, uint64_t> open_rounds_ ABSL_GUARDED_BY(mu_);  // by job
};

}  // namespace paramo
