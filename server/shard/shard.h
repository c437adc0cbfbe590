// One shard on this server: the class in the middle of the data path. Split by
// verb:
//   shard_push.cc       fence, exactly-once, validate, append
//   shard_apply.cc      what a committed record does: the same on every replica
//   shard_async.cc      staleness and pulled values of a push
//   shard_pull.cc       fence, sync gate, gather; parked pulls
//   shard_lifecycle.cc  configuration; catalogue and members become records
//   shard_round.cc      closing rounds
//   shard_state.cc      non-row state, saved and restored
//   shard_flush.cc      dirty rows and non-row state to the store
//   shard_cold.cc       rows that only the store has: eviction, fetching back
//   shard_history.cc    another history: the end of sessions, beginning anew
//
//   push:  Submit -> [strand] fence -> session -> validate -> rows -> append
//                                     committed -> rows -> apply -> answer
//   pull:  Submit -> [strand] fence -> validate -> gate -> rows -> gather ->
//   done
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
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/clock/clock.h"
#include "common/strand/strand.h"
#include "server/replication/replica.h"
#include "server/shard/cluster_view.h"
#include "server/shard/counters.h"
#include "server/shard/round.h"
#include "server/shard/round_board.h"
#include "server/shard/section_task.h"
#include "server/shard/session.h"
#include "server/shard/shard_port.h"
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
  const char* role = "";
  Epoch epoch = 0;
  HistoryId history = 0;
  Lsn lsn = 0;       // applied
  LogPosition last;  // of the log
  uint64_t rows = 0;
  uint64_t resident_rows = 0;  // of them, those in memory
  uint64_t dirty_rows = 0;
  uint64_t bytes = 0;
  uint64_t sessions = 0;
  uint64_t parked = 0;
};

// Owned by the server for its whole life, whether it serves the shard or not.
//
// Invariants
//   1. Rows, tables, sessions, jobs and members change by applied records
//      alone, in lsn order, each once, and only when committed: so they are
//      the same on every replica and after a replay of the log.
//   2. A push answers after its record is applied (or accumulated).
//   3. Nothing here waits: what must wait is parked, and answered by the event
//      that frees it or by its deadline.
//   4. Every task that was submitted is done exactly once.
//
// Threads: Submit, Post, Collect, Flushed, DirtyRows from any; everything else
// runs on the strand.
class Shard final : public ReplicaListener, public FlushSource {
 public:
  struct Options {
    ShardId id = 0;
    uint32_t shard_count = 0;
    ReplicaId self;  // this server
    const Clock* clock = nullptr;
    ShardCounters* counters = nullptr;
    // Pulls parked on this server, all shards together; at most
    // kParkedPullsMax.
    std::atomic<size_t>* parked = nullptr;
    RoundBoard* rounds = nullptr;
    ShardPort* port = nullptr;
  };

  explicit Shard(const Options& options);
  ~Shard() override;

  ShardId id() const { return options_.id; }
  uint32_t shard_count() const { return options_.shard_count; }

  // Takes a section; task->done is called when it is answered.
  void Submit(SectionTask* task) { strand_.Post(task); }
  static void RunTask(StrandTask* task);  // the Run of every SectionTask

  // Runs `function` on the strand.
  template <typename F>
  void Post(F function) {
    strand_.PostFunction(std::move(function));
  }

  // ---- Lifecycle (strand) ---------------------------------------------------

  // What was read from the store and the log, before anything else. The rows
  // are of the state's tables and at least as new as the state.
  struct Stored {
    const v1::ShardState* state = nullptr;  // null: nothing is stored
    std::vector<std::unique_ptr<TableShard>> tables;
    Promise promise;
    std::vector<Record> log;   // chained; what is behind the state counts
    bool log_damaged = false;  // records are missing behind some of those
    bool rows_lost = false;    // none of the above can be had any more
  };
  // Errors: DATA_LOSS  of another shard or format, or a gap in the log
  absl::Status Restore(Stored stored);

  // Brings configuration, tables and members to `view`.
  void ApplyView(std::shared_ptr<const ClusterView> view);

  // Of the replica, on the strand: what it asked of the port has happened.
  template <typename Event>
  void WithReplica(Event event) {
    event(*replica_, options_.clock->Now());
    RunBehind();
    UpdateDirty();
  }
  const Replica& replica() const { return *replica_; }

  // Version of the newest view whose tables and members are applied here, if
  // this server is the shard's primary. Any thread.
  uint64_t version_in_force() const {
    return in_force_.load(std::memory_order_acquire);
  }

  // Answers parked and held work whose deadline has passed.
  void Expire(absl::Duration now);
  void ExpireNow() { Expire(options_.clock->Now()); }

  // Refuses everything from now on; parked and held work is answered.
  void StopServing();

  // Nothing is left of the shard in the log and the store: a new replica
  // begins.
  void Wiped();

  // ---- Write-behind and admin -----------------------------------------------

  void Collect(size_t rows_max, std::function<void(ShardFlush)> done) override;
  void Flushed(const ShardFlush& flush, const absl::Status& status) override;
  size_t DirtyRows() const override {
    return dirty_.load(std::memory_order_relaxed);
  }
  uint64_t UnstoredLogBytes() const override {
    return unstored_bytes_.load(std::memory_order_relaxed);
  }
  bool WantsFlush() const override {
    return wants_flush_.load(std::memory_order_relaxed);
  }

  // ---- Checkpoints for learners (strand; shard_checkpoint.cc) ---------------

  struct Checkpoint {
    Lsn lsn = 0;
    std::string state;            // as of lsn
    std::vector<TableId> tables;  // whose rows are to come
    uint64_t next_row = 0;        // of the last of them
    // Of a table with a budget, whose rows change their numbers: its keys.
    std::vector<Key> keys;
    bool by_key = false;
  };
  struct CheckpointRows {
    TableId table = 0;
    std::string bytes;      // whole records
    std::vector<Key> cold;  // others, which the store has; ascending
  };
  Checkpoint BeginCheckpoint() const;
  // The next rows, of one table; none are left when checkpoint.tables is empty.
  // Errors: ABORTED  the table got a budget meanwhile: begin anew
  absl::Status NextRows(Checkpoint& checkpoint, size_t bytes_max,
                        CheckpointRows& rows) const;
  // From BeginInstall until Install or AbortInstall nothing is flushed.
  absl::Status BeginInstall(HistoryId history);
  void AbortInstall();
  absl::Status Install(const v1::ShardState& state,
                       std::vector<std::unique_ptr<TableShard>> tables);

  ShardReport Report() const;                 // strand
  const TableShard* table(TableId id) const;  // strand; null when not there

  // ReplicaListener.
  void Apply(const Record& record) override;
  bool Ready(const Record& record) override;
  void Prefetch(const Record& record) override;
  void OnServing(Serving serving) override;
  void OnTruncated(Lsn lsn) override;
  std::optional<uint64_t> Checksum() override;
  void OnStopped(const absl::Status& status) override;
  void OnOtherHistory() override;
  Lsn NewestChange() override { return rows_newest_; }

 private:
  // In behind_: waits for the takeover to be complete.
  static constexpr Lsn kUntilServing = ~Lsn{0};

  // A push between append and apply, on the server that appended it.
  struct Waiting {
    Lsn lsn;
    SectionTask* task;
  };

  // One job as this shard sees it.
  struct Job {
    uint32_t id = 0;
    std::string name;
    SyncSpec sync;
    std::unique_ptr<SyncPolicy> policy;
    RoundBuffer rounds;
    Histogram* staleness = nullptr;  // of the pushes that end a step
    bool closing = false;            // a round's close record is under way
    // Somebody's coming or going is being decided, or not all of its first
    // workers have joined: no round closes.
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

  void Handle(SectionTask* task);

  // shard_push.cc
  void Push(SectionTask* task);
  void HandleFresh(SectionTask* task, SessionGate* gate);
  void AnswerDuplicate(SectionTask* task, const Session& session);
  Refusal CheckSession(const wire::SectionHeader& header) const;
  Refusal NoTable(const wire::SectionHeader& header) const;  // shard.cc
  Refusal SessionExpired(SessionId session) const;
  SessionGate& GateOf(const wire::SectionHeader& header);
  void Hold(SectionTask* task, SessionGate& gate);
  void TakeHeld(SessionId session);
  Refusal Validate(SectionTask& task) const;
  Refusal CheckLogRoom(const SectionTask& task) const;

  // shard_apply.cc
  absl::Status ApplyRecord(const Record& record, SectionTask* task);
  absl::Status ApplyPush(const Record& record, SectionTask* task);
  absl::Status ApplyRefusal(const Record& record, SectionTask* task);
  absl::Status ApplyCatalogue(const Record& record);
  absl::Status ApplyMembership(const Record& record);
  absl::Status ApplyRoundClose(const Record& record);
  absl::Status ApplySession(const Record& record);  // shard_history.cc
  void ExpireSessions();
  absl::StatusOr<Session*> SessionOf(const wire::SectionHeader& header);
  wire::Outcome ApplyGradient(SectionTask& task, Membership* membership,
                              Lsn lsn);
  void ApplyRows(TableShard& table, absl::Span<const Key> keys,
                 const float* const* grads, PushStamp stamp,
                 uint32_t* rows_skipped);
  void EndStep(Membership& membership, const wire::SectionHeader& header,
               wire::Outcome outcome);
  void Settle(const wire::SectionHeader& header);
  void NoteDurability();
  void ApplyMember(Job& job, const MemberView& member);
  void FenceMember(const MemberView& member);
  void LeaveJob(Job& job, const MemberView& member);

  // shard_async.cc
  PushStamp StampOf(const SectionTask& task, const Membership* membership,
                    Lsn lsn) const;
  Refusal CheckExtras(const SectionTask& task, const TableShard& table) const;

  // shard_pull.cc
  void Pull(SectionTask* task);
  Refusal CheckPull(SectionTask& task) const;
  Lsn NeededLsn(const SectionTask& task) const;
  SectionTask* PushBefore(const SectionTask& pull);
  void Gather(SectionTask* task);
  void Park(SectionTask* task, Job& job);
  void Unpark();
  void AnswerParked(Job& job);
  void ExpirePulls(absl::Duration now);
  bool CountParked(SectionTask* task);
  void KeepKeys(SectionTask* task);
  std::string WaitingFor(const Job& job) const;

  // shard_lifecycle.cc
  Refusal Fence(const SectionTask& task) const;
  bool IsNamedPrimary() const;
  void ProposeChanges();
  void StepDown();
  void ProposeTables(const ClusterView& view);
  void ProposeMembers(const JobView& view);
  bool Changes(const JobView& view) const;
  bool IsInForce() const;
  void Propose(RecordKind kind, std::string payload);
  void WaitBehind(Lsn lsn, SectionTask* task);
  void RunBehind();
  void ExpireHeld(absl::Duration now);
  void FailWaiting(const Refusal& refusal);
  Membership* FindMembership(SessionId session);

  // shard_round.cc
  void CloseCompleteRounds(Job& job);
  void AppendClose(Job& job, WorkerClock round);
  void StartDeadline(Job& job);
  void StopDeadline(Job& job);
  void ExpireRounds(absl::Duration now);

  // shard_state.cc
  std::string SaveState() const;
  void SaveJob(const Job& job, v1::JobSyncState& proto) const;
  absl::Status RestoreState(const v1::ShardState& state);
  absl::Status RestoreJob(const v1::JobSyncState& proto);
  Job& JobOf(uint32_t id, const std::string& name, const SyncSpec& sync);

  // shard_flush.cc
  void BeginSweep();
  void CollectSweep(size_t rows_max, ShardFlush& flush);
  void ReleaseLog();
  void UpdateDirty();  // after anything that may have changed dirty_

  // shard_cold.cc

  // Rows that are held in memory from now on, and whether they are all.
  struct HeldRows {
    RowPins pins;
    std::vector<Key> missing;  // evicted, or never made
    uint64_t fetch = 0;        // which brings the evicted ones; 0: none are
    absl::Status failed;       // the store cannot give one of them
  };
  HeldRows HoldRows(TableShard& table, absl::Span<const Key> keys,
                    TableShard::Look look = TableShard::Look::kFirst);
  Refusal HoldRowsOf(SectionTask* task);
  void WaitForRows(SectionTask* task);
  bool NeedsRows(const wire::SectionHeader& header) const;
  bool ReadyForPush(const Record& record);
  bool ReadyForRound(const Record& record);
  bool AreReady(std::vector<HeldRows> rows);
  uint64_t Want(TableId table, absl::Span<const Key> keys);
  void StartFetch();
  void OnFetched(uint64_t fetch, FetchedRows fetched);
  void TakeFetched(FetchedRows& fetched);
  void ForgetFetches();
  void ExpireWaitingForRows(absl::Duration now);
  Refusal CheckMemory(const TableShard& table) const;
  void NoteBudgets();
  void KeepBudgets();
  void CountResident();

  // shard_history.cc
  void ProposeEndOfSessions(const ShardConfig& config);
  void WipeWhenQuiet();
  std::unique_ptr<Replica> MakeReplica();

  // Makes a record; `task`, if any, is answered when it is applied.
  void Append(RecordKind kind, Rope payload, Durability level,
              SectionTask* task = nullptr);
  const ShardConfig& config() const { return replica_->config(); }
  Lsn appended() const { return replica_->last(); }
  SectionTask* TakeWaiting(Lsn lsn);
  uint32_t DimOf(TableId table) const;  // 0: no such table

  // Ends a task: fills the reply's common fields and calls done.
  void Finish(SectionTask* task);
  void RunFollowers(const std::vector<SectionTask*>& pulls);
  void Refuse(SectionTask* task, const Refusal& refusal);
  void NoteRefusal(wire::SectionReply& reply, const Refusal& refusal);
  void RefuseWaiting(SessionGate& gate, const Refusal& refusal);

  // Fixed at construction.
  const Options options_;
  Strand strand_;

  // Touched on the strand only. First what every replica has, as of applied_.
  Lsn applied_ = 0;
  RecordHeader applied_header_;  // of record applied_
  std::map<TableId, std::unique_ptr<TableShard>> tables_;
  absl::flat_hash_map<SessionId, Session> sessions_;
  // A session up to here that is not there has expired, or comes too late.
  SessionId expired_ = kNoSession;
  std::map<uint32_t, std::unique_ptr<Job>> jobs_;
  absl::flat_hash_map<SessionId, Membership> memberships_;
  // Of records that are no push: the strongest of a table's.
  Durability control_level_ = Durability::kWritten;

  // Then this server's own.
  Serving serving_ = Serving::kNothing;
  bool stopping_ = false;  // the server is
  // Rows may be of lsns up to this one when the records are applied again.
  Lsn rows_newest_ = 0;
  std::shared_ptr<const ClusterView> view_;
  std::unique_ptr<Replica> replica_;
  std::deque<Waiting> waiting_;  // in lsn order
  // Tables and members that a view brought are there when record proposed_ is
  // applied; requests that come meanwhile wait for it.
  Lsn proposed_ = 0;
  // Rows that are asked of the store: one fetch is under way at a time, and
  // what is missed meanwhile is in the next.
  std::map<TableId, absl::flat_hash_set<Key>> wanted_;
  std::map<TableId, absl::flat_hash_set<Key>> fetching_;
  uint64_t fetch_ = 0;  // the one under way, or the last
  bool fetch_under_way_ = false;
  absl::Duration fetch_started_;
  // While what a fetch has brought is handed out: what it could not bring.
  std::map<std::pair<TableId, Key>, absl::Status> lost_;
  std::deque<SectionTask*> waiting_for_rows_;
  std::vector<HeldRows> next_rows_;  // of the next record to be applied
  std::vector<TableShard*> budgeted_;
  bool evicting_ = false;      // more is to be evicted, in a task of its own
  int64_t resident_rows_ = 0;  // as counted last
  int64_t resident_bytes_ = 0;

  // Requests that wait for a record to be applied, by its lsn, in order.
  std::multimap<Lsn, SectionTask*> behind_;
  absl::flat_hash_map<SessionId, SessionGate> gates_;

  // A sweep hands every row that was dirty when it began to the store, and
  // last the non-row state as of then.
  bool sweeping_ = false;
  bool installing_ = false;      // a checkpoint comes: nothing may be flushed
  bool half_installed_ = false;  // rows of one that was broken off are stored
  bool wiping_ = false;          // all goes: likewise
  bool wipe_asked_ = false;
  bool rows_lost_ = false;  // nothing can go on from what is here
  Lsn sweep_lsn_ = 0;
  std::string sweep_state_;
  std::vector<TableId> sweep_tables_;  // not gone through yet
  Lsn flushed_lsn_ = 0;       // of the non-row state that the store has
  size_t dirty_rows_ = 0;     // over all tables
  size_t rows_in_flush_ = 0;  // collected, outcome not known
  size_t flushes_ = 0;        // likewise
  // Of the records behind flushed_lsn_, and how many of them a sweep stores.
  uint64_t log_bytes_ = 0;
  uint64_t sweep_log_bytes_ = 0;

  // Written on the strand, read by write-behind; relaxed, a hint.
  std::atomic<size_t> dirty_{0};
  std::atomic<uint64_t> unstored_bytes_{0};
  std::atomic<bool> wants_flush_{false};
  // Release when written: who reads it finds the rounds noted before it.
  std::atomic<uint64_t> in_force_{0};
};

}  // namespace paramo
