// Who holds each shard: fencing, choosing primaries, joins, drops, learners
// for replicas that are missing, orderly moves. A pure state machine:
// servers coming and going, their reports and time in; shard configurations
// out. Split by verb: replica_sets.cc, and replica_sets_move.cc for what
// happens while nothing has failed, replica_sets_promote.cc for what is left
// when too much has.
//
//   primary down -> fencing, epoch + 1 -> in-sync replicas promise and answer
//                -> primary = furthest answer, in_sync = who answered, + 1
//   replica missing -> learner, + 1 -> primary: it has all -> in_sync, + 1
//   primary: backup is silent -> out of in_sync, + 1
//   transfer -> primary = another of in_sync, a new term, + 1
//   server drained -> its shards are transferred; a learner elsewhere, which
//                     joins; out of in_sync, + 1
//   nothing has failed for long -> primaries are balanced by transfers
//   nobody is left, and an operator says from whom -> another history, + 1
//
// One step: any number of calls, then TakeChanged(). What it names must be
// durable before anybody else hears of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "server/coordinator/balance.h"

namespace paramo {

// One life of a server.
struct ServerLife {
  uint32_t server = 0;
  uint64_t incarnation = 0;

  friend auto operator<=>(const ServerLife&, const ServerLife&) = default;
};

// One shard's configuration as the store has it.
struct ReplicaSet {
  Epoch epoch = 0;  // 0 = not placed
  Epoch term = 0;   // epoch of the takeover that made `primary` primary
  HistoryId history = 0;
  ServerLife base;  // whose records the history goes on from; 0 = empty
  SessionId ended_sessions = 0;  // of earlier histories: all up to here
  uint32_t primary = 0;          // server id; 0 while fencing
  bool fencing = false;
  std::vector<ServerLife> in_sync;
  std::vector<ServerLife> learners;

  friend bool operator==(const ReplicaSet&, const ReplicaSet&) = default;
};

// How little a server answers where it serves, though it is up.
enum class Reach {
  kLate,  // too early to act: but what it says of others is not believed
  kNone,  // as good as down, though it may go on answering fences
};

// What a replica tells. Repeated by it while it holds; guarded by the epoch.
struct ReplicaNews {
  enum class Kind { kFenced, kJoin, kDrop, kTakeAgain, kStopped };
  Kind kind = Kind::kFenced;
  ShardId shard = 0;
  ServerLife from;
  Epoch epoch = 0;       // of the newest configuration that `from` has promised
  ServerLife peer;       // kJoin, kDrop
  Epoch last_epoch = 0;  // of its last record
  Lsn last_lsn = 0;
};

struct ReplicaSetsOptions {
  uint32_t shard_count = 0;
  uint32_t replicas = 2;          // wanted per shard
  uint32_t servers_expected = 1;  // shards are placed once so many are up
  HistoryId history = 1;          // of newly placed shards
  absl::Duration hold_down_max = absl::Seconds(30);  // of a flapping server
  // Replicas and primaries are spread evenly again when every shard has had all
  // its replicas for so long; 0 = never.
  absl::Duration balance_after;
  // Seeded bugs, for tests/sim only.
  bool promote_lagging = false;   // a takeover chooses a learner
  bool transfer_lagging = false;  // a transfer goes to one
};

// Invariants
//   1. A shard's epoch only grows, with every change of its configuration.
//   2. in_sync never becomes empty, and only those are in it who were placed
//      with the shard, answered its fence or joined at their primary's word.
//   3. A primary is replaced through a fence that its successor answered, or in
//      an orderly transfer by a member of in_sync: whatever is committed until
//      that one hears of it needs its acknowledgement.
//   4. 2 and 3 hold within a history. Only PromoteUnsafely begins another.
class ReplicaSets {
 public:
  explicit ReplicaSets(const ReplicaSetsOptions& options);

  // ---- After a restart: every stored set, every server ever registered, then
  // Resume once. Who is up is told by ServerUp, as usual.
  void Load(ShardId shard, ReplicaSet set);
  void LoadServer(uint32_t server, bool drained) {
    servers_[server].drained = drained;
  }
  // A fence that was under way starts again: its answers are forgotten.
  void Resume();

  // ---- Events ---------------------------------------------------------------

  // Registered under this incarnation; any earlier one is over. It knows that
  // it has not all of its `damaged` shards, and has proof that it has all of
  // the others that its incarnation `continues` had (0: no proof).
  void ServerUp(const ServerLife& life, absl::Duration now,
                const std::set<ShardId>& damaged = {}, uint64_t continues = 0);
  // Silent, or said goodbye. Ignored when it is not up under that incarnation.
  void ServerDown(const ServerLife& life, absl::Duration now);
  // Of those that are up and do not answer; the others do. Nobody is taken for
  // dead where that would make more than half of the servers look dead: then it
  // may be we who are cut off.
  void SetReach(const std::map<ServerLife, Reach>& reach, absl::Duration now);
  void OnNews(const ReplicaNews& news, absl::Duration now);
  // Starts and completes fences, places learners. Every few milliseconds while
  // needs_tick(), else with each heartbeat period.
  void Tick(absl::Duration now);

  // ---- Orders ---------------------------------------------------------------

  // Makes `server` primary of the shard, in a term of its own. Nothing changes
  // when it is that already.
  // Errors: NOT_FOUND            no such shard
  //         FAILED_PRECONDITION  the shard has no primary now, or the server
  //                              is down, drained or not in sync
  absl::Status Transfer(ShardId shard, uint32_t server);

  // The shard goes on in another history, from what `server` has of it, or (0)
  // empty on a server of our choice. What was acknowledged may be lost; so
  // sessions up to `ended_sessions` are over. Only while it is offline.
  // Errors: NOT_FOUND            no such shard or server
  //         FAILED_PRECONDITION  the shard is not placed, or not offline; the
  //                              server, or every one, is down or has stopped
  absl::Status PromoteUnsafely(ShardId shard, uint32_t server,
                               SessionId ended_sessions);

  // A drained server gets nothing new. It hands over what it leads, and what
  // other servers have room for; the next calls of Tick see to that. The server
  // has been up once.
  void SetDrained(uint32_t server, bool drained);

  // ---- Reading --------------------------------------------------------------

  const std::vector<ReplicaSet>& sets() const { return sets_; }
  // Shards whose configuration changed since the last call.
  std::set<ShardId> TakeChanged();
  bool needs_tick() const { return !fences_.empty(); }
  // Rule 3.9: more than half of the servers look dead, so perhaps it is we who
  // are cut off. No fence starts, nobody is dropped or placed.
  bool safe_mode() const;
  // No member of in_sync is up (or those that are have stopped): it waits for
  // one to return.
  bool Offline(ShardId shard) const;
  // Up, but taken for dead because it cannot be reached.
  bool OutOfReach(uint32_t server) const;

 private:
  struct Server {
    std::optional<uint64_t> incarnation;  // when up
    bool late = false;                    // does not answer
    bool out_of_reach = false;            // and is taken for dead
    bool drained = false;
    int flaps = 0;  // times it went down of late
    absl::Duration flapped_at = -absl::InfiniteDuration();
  };
  struct Answer {
    Epoch last_epoch = 0;
    Lsn last_lsn = 0;
    absl::Duration at;  // the first time
  };
  using Fence = std::map<ServerLife, Answer>;  // who has answered it

  // Up, and nothing says that it cannot be reached.
  bool IsUp(const ServerLife& life) const;
  static bool IsUp(const Server& server) {
    return server.incarnation && !server.out_of_reach;
  }
  bool Answers(const ServerLife& life) const;
  static void NoteFlap(Server& server, absl::Duration now);
  bool IsDrained(const ServerLife& life) const;
  // Up, not stopped, and there to stay.
  bool IsUseful(ShardId shard, const ServerLife& life) const;
  bool IsHeldDown(const Server& server, absl::Duration now) const;
  bool HasStopped(ShardId shard, const ServerLife& life) const;
  static bool Names(const std::vector<ServerLife>& lives,
                    const ServerLife& life);
  // The life of `server` that is in sync.
  static std::optional<ServerLife> MemberOf(const ReplicaSet& set,
                                            uint32_t server);
  static std::optional<ServerLife> PrimaryOf(const ReplicaSet& set) {
    return MemberOf(set, set.primary);
  }

  // Every change of a set goes through here.
  void Change(ShardId shard, ReplicaSet set);
  void PlaceWhenComplete();
  void AdoptAlone(const ServerLife& life, const std::set<ShardId>& damaged,
                  uint64_t continues);
  void FenceWherePrimaryIsGone();
  void StartFence(ShardId shard);
  void TryCompleteFence(ShardId shard, absl::Duration now);
  ServerLife ChoosePrimary(const Fence& fence) const;
  ptrdiff_t CountLed(uint32_t server) const;
  std::map<uint32_t, size_t> CountHeld() const;  // replicas, by server
  void Join(ShardId shard, const ServerLife& learner);
  void Drop(ShardId shard, const ServerLife& peer);
  void EnsureReplicas(ShardId shard, absl::Duration now);
  std::optional<ServerLife> ChooseLearner(const ReplicaSet& set, ShardId shard,
                                          absl::Duration now) const;

  // replica_sets_promote.cc
  absl::Status CheckPromotion(ShardId shard, uint32_t server) const;

  // replica_sets_move.cc
  absl::Status CheckExists(ShardId shard) const;
  void HandOver(ShardId shard, const ServerLife& successor);
  void LeaveDrainedPrimary(ShardId shard);
  void Balance(absl::Duration now);
  bool IsWhole(ShardId shard) const;
  std::vector<ShardLead> Leads() const;
  bool DropSurplus();
  bool MoveReplica(absl::Duration now);
  void MovePrimary();
  bool IsMoving(ShardId shard) const {
    return moving_ && moving_->first == shard;
  }

  const ReplicaSetsOptions options_;
  std::vector<ReplicaSet> sets_;        // by shard
  std::map<uint32_t, Server> servers_;  // ever registered
  std::map<ShardId, Fence> fences_;     // under way
  std::set<std::pair<ShardId, ServerLife>> stopped_;
  std::set<ShardId> changed_;
  std::optional<absl::Duration> whole_since_;  // every shard
  absl::Duration balanced_at_ = -absl::InfiniteDuration();
  // A learner that is to take the place of a backup on a fuller server.
  std::optional<std::pair<ShardId, ServerLife>> moving_;
};

}  // namespace paramo
