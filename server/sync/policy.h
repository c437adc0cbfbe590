// When a pull may be answered, and when contributions become part of the rows.
// Step 2 of the data path ("sync gate").
//
// A policy is a pure state machine over clocks and membership, one per job and
// shard: it holds no lock, reads no clock and keeps no gradient. The shard
// calls it on its strand, from applied log records only, so that every replica
// makes the same decisions.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/ids.h"

namespace paramo {

// The numbers of paramo.v1.Sync.Kind.
enum class SyncKind : uint32_t { kAsync = 0, kBsp = 1, kSsp = 2, kRound = 3 };

// What paramo.v1.Sync says; fields of other kinds are 0.
struct SyncSpec {
  SyncKind kind = SyncKind::kAsync;
  uint32_t staleness = 0;       // ssp: s
  uint32_t backup_workers = 0;  // bsp: b
  uint32_t quorum = 0;          // round: contributions that close it
  uint32_t deadline_ms = 0;     // round: it closes then with those it has
};

// What to do with a push of a member.
enum class Admission {
  kApply,       // at once
  kAccumulate,  // keep it for its round
  kDrop,        // its round is closed, or the worker is not in it
  kNotAMember,
};

// Invariants
//   1. A member's clock only grows.
//   2. Rounds close in order, each once.
class SyncPolicy {
 public:
  struct Member {
    WorkerClock first = 0;  // contributes from this round on
    WorkerClock next = 0;   // the first clock it has not ended here
  };

  virtual ~SyncPolicy() = default;

  // Membership, as logged. Joining twice with the same `first` is harmless.
  virtual void Join(WorkerId worker, WorkerClock first);
  // Nobody waits for it any more; what it completed stays.
  virtual void Leave(WorkerId worker);

  // Whether some of the job's first workers have yet to join. They begin at
  // clock 0, so nobody may count on more than that meanwhile.
  void SetGathering(bool gathering) { gathering_ = gathering; }
  bool gathering() const { return gathering_; }

  virtual Admission AdmitPush(WorkerId worker, WorkerClock clock) const = 0;
  virtual bool PullReady(WorkerClock clock) const = 0;

  // The worker's last section of step `clock` has been applied here.
  virtual void EndClock(WorkerId worker, WorkerClock clock);

  // The next round to close, when it is complete. The shard applies it and
  // then calls CloseRound.
  virtual std::optional<WorkerClock> CompleteRound() const = 0;
  virtual void CloseRound(WorkerClock /*round*/) {}
  // Opens the first round that a live member is part of, or `contributed`, the
  // first that the shard keeps something for, if that is earlier. A member may
  // begin arbitrarily late; closing one by one would take as long.
  virtual void PassEmptyRounds(WorkerClock /*contributed*/) {}
  // Somebody has ended the open round: its deadline may close it.
  virtual bool RoundHasContributor() const { return false; }

  // Steps that all live members have finished, and that the fastest has.
  WorkerClock SlowestClock() const;
  WorkerClock FastestClock() const;

  bool IsMember(WorkerId worker) const { return members_.contains(worker); }
  const std::map<WorkerId, Member>& members() const { return members_; }

  // Steps whose contributions a pull here sees in full: rounds closed, or what
  // the slowest has finished. Replies carry it.
  virtual WorkerClock VisibleClock() const { return SlowestClock(); }

  // How many steps the values that a push of step `clock` was computed at are
  // behind: the fastest worker, or, in rounds, the open round.
  virtual WorkerClock StalenessOf(WorkerClock clock) const;

  // For saving and restoring the state of a shard.
  virtual WorkerClock open_round() const { return 0; }
  // What SlowestClock was when the last member left.
  WorkerClock finished() const { return finished_; }
  virtual void Restore(const std::map<WorkerId, Member>& members,
                       WorkerClock open_round, WorkerClock finished);

 protected:
  std::map<WorkerId, Member> members_;  // live ones
  WorkerClock finished_ = 0;
  bool gathering_ = false;
};

std::unique_ptr<SyncPolicy> MakeSyncPolicy(const SyncSpec& spec);

}  // namespace paramo
