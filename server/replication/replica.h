// Replication of one shard: steps 3 and 4 of the data path, as a pure state
// machine. No threads, clock, socket or disk: messages and time in, effects
// out. Rules: docs/replication.md. Split by verb:
//   replica.cc             life, dispatch, log reports, applying, stopping
//   replica_append.cc      primary: append, send, commit
//   replica_ack.cc         primary: acknowledgements, catching up
//   replica_backup.cc      follower: match, truncate, append, acknowledge
//   replica_takeover.cc    promises, configurations, becoming primary
//   replica_membership.cc  peers, joins, drops, reports
//
//   primary                              backup
//   Append -> WriteLog
//          -> kAppend(records) --------> chain fits? -> WriteLog
//             OnLogged                                  OnLogged
//             <------------------------------- kAck(have)
//   every required one has it: commit -> Apply -> (reply)
//          -> kAppend(committed) ------> Apply
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "server/replication/config.h"
#include "server/replication/message.h"
#include "server/replication/peer.h"
#include "server/replication/seeded_bugs.h"
#include "server/replication/tail.h"

namespace paramo {

// What a replica made of a message. Around losses and failovers some are not
// taken in a healthy cluster too; none is ever kDiverged.
enum class PeerVerdict {
  kTaken,
  kNotHeld,    // of a shard, or a history of it, that is not here
  kOtherTerm,  // from nobody whom this replica hears in its term
  kGap,        // what comes before it is not here
  kMalformed,  // records not chained, or an acknowledgement of none there is
  kConflict,   // another record is in its place, not committed
  kDiverged,   // another record or state is here for good: the replica stops
};
inline constexpr size_t kPeerVerdictCount = 7;

// The shard. Called from within the replica's methods.
class ReplicaListener {
 public:
  virtual ~ReplicaListener() = default;
  // A committed record; in lsn order, each once, on every replica. May call
  // Append and Stop, and nothing else of the replica that changes it.
  virtual void Apply(const Record& record) = 0;
  // Whether Apply may be called with it, the next one. If not, nothing is
  // applied until Resume. May call Stop.
  virtual bool Ready(const Record& /*record*/) { return true; }
  // Apply may come with it soon, or never: it was received from a primary, or
  // is behind one that is not ready.
  virtual void Prefetch(const Record& /*record*/) {}
  // What this server may do changed. Not kNothing: the takeover is complete
  // and the whole tail is applied. May call Append.
  virtual void OnServing(Serving serving) = 0;
  // Appended records above `lsn` are void; none of them was applied.
  virtual void OnTruncated(Lsn lsn) = 0;
  // Rolling checksum of the state as of the last record given to Apply.
  // Nothing while that state is not whole: records are parked, or rows are
  // newer than the record (rule 4.5). Such a replica is not compared and does
  // not join.
  virtual std::optional<uint64_t> Checksum() = 0;
  // Divergence or damage. The replica does nothing any more; it is never
  // repaired silently.
  virtual void OnStopped(const absl::Status& status) = 0;
  // A replica of another history is wanted here (rule 3.10). This one does
  // nothing any more: wipe the data, then make a new one. Repeated.
  virtual void OnOtherHistory() = 0;
  // The state may hold changes of records up to here that Apply has yet to
  // give, or never will when the log has lost them.
  virtual Lsn NewestChange() { return 0; }
};

// The world. Nothing here calls the replica back from within: answers come
// later, on the strand.
class ReplicaEffects {
 public:
  virtual ~ReplicaEffects() = default;
  // Records and marks (truncate, restart), sealed, in the order of the calls;
  // a later one is never durable without those before it. OnLogged follows.
  virtual void WriteLog(const Record& record, Durability level) = 0;
  // OnPromiseSaved follows when it would survive a power loss.
  virtual void SavePromise(const Promise& promise) = 0;
  // May be lost, late, doubled, out of order.
  virtual void Send(const ReplicaId& to, PeerMessage message) = 0;
  virtual void Report(const ReplicaReport& report) = 0;
  // Records from `from` on, for `peer`: OnLogRead or OnLogCut follows.
  virtual void ReadLog(const ReplicaId& peer, Lsn from, size_t bytes_max) = 0;
  // The log does not reach back: send `learner` the state as of some lsn of
  // the shard's choice, and keep the log from there on. There the shard calls
  // OnCheckpointInstalled; here OnCheckpointSent or OnCheckpointFailed.
  virtual void SendCheckpoint(const ReplicaId& learner) = 0;
};

// What a server found when it started.
struct RestoredReplica {
  HistoryId history = 0;
  Promise promise;      // as saved last
  LogPosition applied;  // of the state: all of it is committed
  // The log's records behind it, chained; every one of them is synced.
  std::vector<Record> tail;
  // What the log held behind them is lost: nothing can follow them there.
  bool log_damaged = false;
};

// Owned by the shard, used on its strand only. One history in its life, but
// for the replica that a new one is based on.
//
// Invariants
//   1. Applied <= committed; committed records are on every member of in_sync.
//   2. Nothing at or below committed is ever truncated.
//   3. Within a term a follower keeps what it acknowledged.
//   4. Nothing is answered or appended under a promise that is not durable.
class Replica {
 public:
  struct Options {
    ShardId shard = 0;
    ReplicaId self;
    size_t tail_bytes_max = kTailBytesMax;
    SeededBugs bugs = {};
  };

  // `listener` and `effects` outlive it. `now` is steady time; it never
  // decreases over the calls.
  Replica(const Options& options, ReplicaListener& listener,
          ReplicaEffects& effects);

  // Once, before anything else; not at all for a shard that is new here.
  void Restore(RestoredReplica restored);

  // ---- The shard ------------------------------------------------------------

  // Appends a record and returns its lsn, which is last() + 1 as of the call.
  // Only while serving() is not kNothing. With nobody to wait for, the record
  // may be applied before this returns.
  Lsn Append(RecordKind kind, Rope payload, Durability level,
             absl::Duration now);
  // Whether so many bytes may be appended; asked before a push is taken.
  bool HasRoom(size_t bytes) const {
    return uncommitted_bytes_ + bytes <= options_.tail_bytes_max;
  }
  // The shard cannot go on (a fetch error on a committed record, a damaged
  // row): as if the replica had found a divergence.
  void Stop(const absl::Status& status);
  // The record that was not ready may be.
  void Resume();
  // This server cannot store well any more: a backup asks to be dropped.
  void Leave() { leaving_ = true; }
  // A checkpoint's state is installed; Apply goes on behind `at`, which must
  // be above committed(). Only for a learner.
  void OnCheckpointInstalled(const LogPosition& at, absl::Duration now);

  // ---- Events ---------------------------------------------------------------

  // Every newer state of the shard, fencing ones too; repeats are harmless.
  void Configure(const ShardConfig& config, absl::Duration now);
  void OnPromiseSaved(const Promise& promise, absl::Duration now);
  // The log's own reports, in its order: everything written up to the record
  // or mark with `lsn` has `level` (kWritten, later perhaps kSynced).
  void OnLogged(Lsn lsn, Durability level, absl::Duration now);
  PeerVerdict OnMessage(const ReplicaId& from, PeerMessage message,
                        absl::Duration now);
  void OnLogRead(const ReplicaId& peer, std::vector<Record> records,
                 absl::Duration now);
  void OnLogCut(const ReplicaId& peer, absl::Duration now);
  void OnCheckpointSent(const ReplicaId& learner, Lsn lsn, absl::Duration now);
  void OnCheckpointFailed(const ReplicaId& learner, absl::Duration now);
  // Every 5 to 10 ms: heartbeats, resends, silence, reports.
  void Tick(absl::Duration now);

  // ---- Reading --------------------------------------------------------------

  Role role() const { return role_; }
  Serving serving() const { return serving_; }
  const ShardConfig& config() const { return config_; }
  const Promise& promise() const { return promised_; }
  HistoryId history() const { return history_; }  // 0: none yet
  const LogPosition& last_position() const { return tail_.last(); }
  Lsn last() const { return tail_.last().lsn; }
  Lsn committed() const { return committed_; }
  Lsn applied() const { return applied_; }
  LogPosition applied_position() const;
  // crc32c of a recent record; nothing when it is not remembered.
  std::optional<uint32_t> CrcOf(Lsn lsn) const { return tail_.CrcOf(lsn); }
  // Replicas that have every committed record and that a takeover can choose.
  uint32_t replicas() const;
  // "primary, epoch 3, ...", for people.
  std::string Describe() const;
  // The log must keep records from here on, for peers that catch up.
  Lsn oldest_needed() const;

 private:
  // replica.cc
  void AdvanceStored();
  void CommitTo(Lsn lsn);
  void ApplyCommitted();
  void PrefetchCommitted();
  void CompareSum();
  void Trim();
  void SetServing(Serving serving);
  void WriteMark(RecordKind kind, const LogPosition& at);
  void RestartLog();
  void AppendToLog(Record record, Durability level);
  void FinishInstall();
  // The log has reported everything that was given to it.
  bool quiet() const { return written_ >= last() && !mark_unwritten_; }
  bool leads() const {
    return role_ == Role::kPrimary || role_ == Role::kTakingOver;
  }

  // replica_append.cc
  void AppendRecord(RecordKind kind, Rope payload, Durability level,
                    absl::Duration now);
  void AdvanceCommit();
  void Pump(Peer& peer, absl::Duration now);
  void SendRecords(Peer& peer, std::vector<SentRecord> records,
                   absl::Duration now);
  void SendHeartbeat(Peer& peer, std::optional<uint64_t> sum,
                     absl::Duration now);
  PeerMessage MessageFor(PeerMessage::Kind kind) const;

  // replica_ack.cc
  PeerVerdict OnAck(const ReplicaId& from, const PeerMessage& message,
                    absl::Duration now);
  void OnRefused(const PeerMessage& message);
  void SeedHistory(Peer& peer);
  void Rewind(Peer& peer, const PeerMessage& message, absl::Duration now);
  Peer* FindPeer(const ReplicaId& id);

  // replica_backup.cc
  PeerVerdict OnAppend(const ReplicaId& from, const PeerMessage& message);
  bool Follows(const ReplicaId& from, const PeerMessage& message) const;
  void Refuse(const ReplicaId& from, const PeerMessage& message);
  PeerVerdict MatchStart(const PeerMessage& message);
  bool WellFormed(const PeerMessage& message) const;
  bool TakeRecord(const SentRecord& sent, Epoch term);
  bool TruncateTo(Lsn lsn);
  void SendAck(uint8_t flags);
  Lsn have() const { return stored_ < matched_ ? stored_ : matched_; }

  // replica_takeover.cc
  bool MustBeginAnew(const ShardConfig& config) const;
  void EndHistory();
  void Adopt(const ShardConfig& config, absl::Duration now);
  void Follow(Role role, bool same_term);
  void TakeOver(absl::Duration now);
  void CompleteTakeover();
  void Fence();
  void UpdateServing();

  // replica_membership.cc
  void UpdatePeers(absl::Duration now);
  void TryJoin(Peer& peer);
  void TickPeer(Peer& peer, absl::Duration awake, absl::Duration now);
  void JudgePeer(Peer& peer);
  void TickReports(absl::Duration now);
  void Report(ReplicaReport::Kind kind, const ReplicaId& peer = {});
  std::optional<ReplicaId> PrimaryId() const;

  // Fixed at construction.
  const Options options_;
  ReplicaListener& listener_;
  ReplicaEffects& effects_;

  // Whom a follower acknowledges to.
  struct Leader {
    ReplicaId id;
    Epoch epoch = 0;
    Epoch term = 0;
  };

  // Who we are.
  Role role_ = Role::kNone;
  Serving serving_ = Serving::kNothing;
  HistoryId history_ = 0;
  ShardConfig config_;                  // adopted: its promise is durable
  std::optional<ShardConfig> pending_;  // its promise is being saved
  Promise promised_;                    // the highest, durable or not
  Epoch led_term_ = 0;  // the last term in which this may have been primary
  bool leaving_ = false;

  // The log. stored_: all up to here counts as held (durability reached).
  Tail tail_;
  Lsn written_ = 0;
  Lsn synced_ = 0;
  Lsn stored_ = 0;
  // After a mark: kSynced reports are of records before it until the mark is
  // reported as written.
  bool mark_unwritten_ = false;
  std::optional<LogPosition> damaged_log_;  // where it is to begin again
  Lsn committed_ = 0;
  Lsn applied_ = 0;
  bool applying_ = false;
  Lsn prefetched_ = 0;  // committed records that Prefetch has had
  size_t uncommitted_bytes_ = 0;

  // Following.
  Leader leader_;
  Lsn acked_ = 0;    // told to the leader
  Lsn matched_ = 0;  // equal to the log of this term's primary up to here
  std::optional<LogPosition> installing_;  // a checkpoint; the log is not quiet
  Lsn sum_lsn_ = 0;                        // to compare there; 0 = nothing
  uint64_t sum_ = 0;

  // Leading.
  std::map<ReplicaId, Peer> peers_;
  Lsn takeover_lsn_ = 0;  // of the no-op that opened the term
  absl::Duration sum_at_;

  absl::Duration ticked_at_;
  absl::Duration reported_at_ = -absl::InfiniteDuration();
};

}  // namespace paramo
