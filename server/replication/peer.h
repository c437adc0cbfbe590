// What a primary knows of one follower, within its term.
#pragma once

#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "common/base/ids.h"
#include "server/replication/config.h"

namespace paramo {

//   1 ...  have | on the way ... next - 1 | next ... last
//
// Invariants
//   1. The follower has every record up to `have`, equal to ours, at its
//      durability, and keeps it as long as its incarnation lasts.
//   2. Who is `required` stays so until a newer configuration says whether it
//      is in sync, unless nobody was asked to make it so.
struct Peer {
  enum class Source {
    kMemory,      // records come from the tail
    kLog,         // a read is under way
    kCheckpoint,  // the log does not reach back; the shard sends its state
  };
  struct InFlight {
    Lsn last;
    size_t bytes;
  };

  ReplicaId id;
  bool member = false;    // in in_sync
  bool required = false;  // its acknowledgements are needed
  bool asked = false;     // to join, in this epoch
  bool leaving = false;   // to be removed: the coordinator is asked
  bool ready = false;     // its state is whole

  Lsn have = 0;
  Lsn next = 0;         // to send
  Lsn resend_from = 0;  // where it last asked us to begin
  Lsn join_at = 0;      // the end of the log when it became required
  Lsn told_commit = 0;
  Source source = Source::kMemory;
  std::deque<InFlight> in_flight;
  size_t in_flight_bytes = 0;

  absl::Duration sent_at;      // anything
  absl::Duration progress_at;  // sent at the end of the log, or acknowledged
  absl::Duration rewound_at = -absl::InfiniteDuration();
  absl::Duration seeded_at = -absl::InfiniteDuration();
  absl::Duration asked_at = -absl::InfiniteDuration();
  absl::Duration silence;  // time we were awake for and heard nothing
  absl::Duration stall;    // likewise, with records outstanding

  void Acknowledge(Lsn lsn) {
    have = lsn;
    while (!in_flight.empty() && in_flight.front().last <= lsn) {
      in_flight_bytes -= in_flight.front().bytes;
      in_flight.pop_front();
    }
  }
  void SendFrom(Lsn lsn) {
    next = lsn;
    in_flight.clear();
    in_flight_bytes = 0;
  }
};

}  // namespace paramo
