// When each server was last heard, whether it answers where it serves, and how
// far it has got. It stands beside the rest of the coordinator with a lock of
// its own, so that a heartbeat costs a map lookup and never waits behind a slow
// request.
#pragma once

#include <cstdint>
#include <deque>
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
// A probe passes through more threads than a heartbeat, so that a server, or a
// coordinator, that starves is to be found silent before it is out of reach.
inline constexpr absl::Duration kProbeSuspicion = absl::Milliseconds(350);
// A server that has just registered may not serve yet, or its first connection
// take a while: until it has answered once it is given so much more.
inline constexpr absl::Duration kProbeGrace = absl::Seconds(2);
// One that others reach, as its work shows, is busy: it is waited for so long.
inline constexpr absl::Duration kBusyPatience = absl::Seconds(10);
// Two probes and the way of one. A healthy server is late sometimes, which has
// no consequence but that its primaries drop nobody meanwhile.
inline constexpr absl::Duration kProbeLate = absl::Milliseconds(120);

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
      absl::Duration now, const std::map<uint32_t, uint64_t>& open_rounds = {},
      uint64_t data_progress = 0);

  // A probe is sent to where the server serves. Returns for how long it has
  // answered none. The times of the calls do not decrease.
  absl::Duration Asked(uint32_t server, uint64_t incarnation,
                       absl::Duration now);
  // The one of then was answered, however late.
  void Answered(uint32_t server, uint64_t incarnation, absl::Duration asked_at,
                absl::Duration now);

  size_t Count() const;

  // Servers unheard for longer than kSuspicionTime.
  std::vector<Silent> FindSilent(absl::Duration now) const;

  // Servers that were asked longer than kProbeLate ago and have neither
  // answered nor worked since (worked: for kBusyPatience at most).
  std::vector<Silent> FindUnanswering(absl::Duration now) const;

  // Servers that are up and have not reported `version` as applied.
  std::vector<uint32_t> FindBehind(uint64_t version) const;

 private:
  struct Server {
    uint64_t incarnation = 0;
    uint64_t applied_version = 0;
    absl::Duration last_heard;
    // The probes since the newest one that was answered, when they were sent.
    std::deque<absl::Duration> asked;
    absl::Duration patient_until;  // until the first answer
    // What it has done where it serves, and when we last heard of more.
    uint64_t data_progress = 0;
    absl::Duration worked_at = -absl::InfiniteDuration();

    absl::Duration UnansweredFor(absl::Duration now) const;
  };

  // Null when it is not up under that incarnation.
  Server* Find(uint32_t server, uint64_t incarnation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::map<uint32_t, Server> servers_ ABSL_GUARDED_BY(mu_);
  absl::Duration answer_at_ ABSL_GUARDED_BY(mu_);  // the last one, of anybody
  std::map<uint32_t, uint64_t> open_rounds_ ABSL_GUARDED_BY(mu_);  // by job
};

}  // namespace paramo
