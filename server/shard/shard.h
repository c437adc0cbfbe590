// One shard on this server: the class in the middle of the data path. Split by
// verb:
//   shard_push.cc       fence, exactly-once, validate, append, apply
//   shard_async.cc      staleness and pulled values of a push
//   shard_pull.cc       fence, sync gate, gather; parked pulls
//   shard_lifecycle.cc  loading, configuration, catalogue, membership, rounds
//   shard_flush.cc      dirty rows and non-row state to the store, and back
//
//   push:  Submit -> [strand] fence -> session -> validate -> append
//                                              -> committed -> apply -> done
//   pull:  Submit -> [strand] fence -> validate -> gate -> gather -> done
//                                                   `-> parked -> gate ...
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/clock/clock.h"
#include "common/strand/strand.h"
#include "server/replication/replication.h"
#include "server/shard/cluster_view.h"
#include "server/shard/counters.h"
#include "server/shard/round.h"
#include "server/shard/round_board.h"
#include "server/shard/section_task.h"
#include "server/shard/session.h"
#include "server/store/write_behind.h"
#include "server/sync/policy.h"
#include "server/table/table_shard.h"

namespace paramo {

namespace v1 {
class JobSyncState;
class ShardState;
}  // namespace v1

// What one shard tells about itself.
struct ShardReport {
  ShardId shard = 0;
  bool serving = false;
  Epoch epoch = 0;
  Lsn lsn = 0;
  uint64_t rows = 0;
  uint64_t dirty_rows = 0;
  uint64_t bytes = 0;
  uint64_t sessions = 0;
  uint64_t parked = 0;
};

// Owned by the server for its whole life, whether it serves the shard or not.
//
// Invariants
//   1. Records are applied in lsn order, each once, and only when committed.
//   2. A push answers after its record is applied (or accumulated).
//   3. Nothing here waits: what must wait is parked, and answered by the event
//      that frees it or by its deadline.
//   4. Every task that was submitted is done exactly once.
//
// Threads: Submit, Post, Collect, Flushed, DirtyRows from any; everything else
// runs on the strand.
class Shard final : public CommitListener, public FlushSource {
 public:
  struct Options {
    ShardId id = 0;
    uint32_t shard_count = 0;
    uint32_t server_id = 0;
    const Clock* clock = nullptr;
    ShardCounters* counters = nullptr;
    // Pulls parked on this server, all shards together; at most
    // kParkedPullsMax.
    std::atomic<size_t>* parked = nullptr;
    RoundBoard* rounds = nullptr;
  };

  explicit Shard(const Options& options);
  ~Shard() override;

  ShardId id() const { return options_.id; }

  // Takes a section; task->done is called when it is answered.
  void Submit(SectionTask* task) { strand_.Post(task); }
  static void RunTask(StrandTask* task);  // the Run of every SectionTask

  // Runs `function` on the strand.
  template <typename F>
  void Post(F function) {
    strand_.PostFunction(std::move(function));
  }

  // ---- Lifecycle (strand) ---------------------------------------------------

  // Takes rows and state read from the store, before the shard serves.
  absl::Status Restore(const v1::ShardState* state,
                       std::vector<std::unique_ptr<TableShard>> tables);

  // Brings configuration, tables and members to `view`. From here on the shard
  // serves when the view names this server its primary.
  void ApplyView(const ClusterView& view);

  // Answers parked and held work whose deadline has passed.
  void Expire(absl::Duration now);

  // Refuses everything from now on; parked and held work is answered.
  void StopServing();

  // ---- Write-behind and admin -----------------------------------------------

  void Collect(size_t rows_max, std::function<void(ShardFlush)> done) override;
  void Flushed(const ShardFlush& flush, const absl::Status& status) override;
  size_t DirtyRows() const override {
    return dirty_.load(std::memory_order_relaxed);
  }

  ShardReport Report() const;                 // strand
  const TableShard* table(TableId id) const;  // strand; null when not there

  void OnCommitted(Lsn lsn) override;

 private:
  // A record between append and apply.
  struct Pending {
    Lsn lsn;
    std::function<void(Lsn)> apply;
  };

  // One job as this shard sees it.
  struct Job {
    uint32_t id = 0;
    std::string name;
    SyncSpec sync;
    std::unique_ptr<SyncPolicy> policy;
    RoundBuffer rounds;
    // Of the pushes that end a step; null until a view names the job.
    Histogram* staleness = nullptr;
    bool closing = false;  // a round's close record is under way
    // Somebody's coming or going is being decided: no round closes.
    bool frozen = false;
    // When the open round closes with what it has; infinite: no deadline runs.
    absl::Duration deadline = absl::InfiniteDuration();
    std::vector<SectionTask*> parked;         // pulls that wait for a round
    std::map<SessionId, MemberView> members;  // left ones included
  };

  struct Membership {
    Job* job = nullptr;
    WorkerId worker = 0;
    bool left = false;
  };

  // A refusal: code, reason and words. Code OK means none.
  struct Refusal {
    absl::Status status;
    wire::Reason reason = wire::Reason::kNone;
    bool refused() const { return !status.ok(); }
  };

  // shard_push.cc
  void Push(SectionTask* task);
  void HandleFresh(SectionTask* task, Session* session);
  void ApplyPush(SectionTask* task, Session* session, Lsn lsn);
  wire::Outcome ApplyGradient(SectionTask& task, Membership* membership,
                              Lsn lsn);
  void AnswerDuplicate(SectionTask* task, const Session& session);
  Session* FindSession(const wire::SectionHeader& header, Refusal& refusal);
  Refusal Validate(SectionTask& task) const;
  void ApplyRows(TableShard& table, absl::Span<const Key> keys,
                 const float* const* grads, PushStamp stamp,
                 uint32_t* rows_skipped);

  // shard_async.cc
  PushStamp StampOf(const SectionTask& task, const Membership* membership,
                    Lsn lsn) const;
  Refusal CheckPulled(const SectionTask& task, const TableShard& table) const;

  // shard_pull.cc
  void Pull(SectionTask* task);
  Refusal CheckPull(SectionTask& task) const;
  void Gather(SectionTask* task);
  void Park(SectionTask* task, Job& job);
  void Unpark();
  void AnswerParked(Job& job);
  std::string WaitingFor(const Job& job) const;

  // shard_lifecycle.cc
  Refusal Fence(const SectionTask& task) const;
  void ApplyConfig(const ShardConfig& config);
  void ApplyTables(const ClusterView& view);
  void ApplyJob(const JobView& view);
  bool Changes(const Job& job, const JobView& view) const;
  void ApplyMembers(Job& job, const JobView& view);
  void ApplyMember(Job& job, const MemberView& member);
  void CloseCompleteRounds(Job& job);
  void CloseRound(Job& job, WorkerClock round, Lsn lsn);
  void FenceMember(const MemberView& member);
  void LeaveJob(Job& job, const MemberView& member);
  void AppendClose(Job& job, WorkerClock round);
  void StartDeadline(Job& job);
  void StopDeadline(Job& job);
  void FailWaiting(const Refusal& refusal);
  Membership* FindMembership(SessionId session);

  // shard_flush.cc
  std::string SaveState() const;
  void SaveJob(const Job& job, v1::JobSyncState& proto) const;
  void RestoreJob(const v1::JobSyncState& proto);
  void UpdateDirty();  // after anything that may have changed dirty_

  // Appends a record; `apply` runs when it is committed, with its lsn.
  void Append(RecordKind kind, std::function<void(Lsn)> apply);

  // Ends a task: fills the reply's common fields and calls done.
  void Finish(SectionTask* task);
  void Refuse(SectionTask* task, const Refusal& refusal);

  // Fixed at construction.
  const Options options_;
  Strand strand_;

  // Touched on the strand only.
  bool serving_ = false;
  ShardConfig config_;
  Lsn appended_ = 0;
  Lsn committed_ = 0;
  Lsn applied_ = 0;
  bool applying_ = false;
  std::deque<Pending> pending_;
  std::unique_ptr<Replication> replication_;
  std::map<TableId, std::unique_ptr<TableShard>> tables_;
  absl::flat_hash_map<SessionId, std::unique_ptr<Session>> sessions_;
  std::map<uint32_t, std::unique_ptr<Job>> jobs_;
  absl::flat_hash_map<SessionId, Membership> memberships_;
  Lsn flushed_lsn_ = 0;       // of the non-row state that the store has
  TableId flush_cursor_ = 0;  // table where Collect goes on
  size_t dirty_rows_ = 0;     // over all tables
  size_t rows_in_flush_ = 0;  // collected, outcome not known

  // Written on the strand, read by write-behind; relaxed, a hint.
  std::atomic<size_t> dirty_{0};
};

}  // namespace paramo
