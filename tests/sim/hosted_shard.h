// One shard on one simulated server: the toy state machine, exactly-once as
// the real shard does it, and what the replica does to the world.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "server/replication/replica.h"
#include "tests/sim/disk.h"

namespace paramo::sim {

class Server;

struct PushRequest {
  ShardId shard = 0;
  uint64_t session = 0;
  uint64_t seq = 0;
  uint64_t id = 0;    // of the push, unique
  bool skip = false;  // give the number up
};
struct PushReply {
  // kExpired: of an earlier history; what became of its pushes is not known.
  enum class Outcome { kRefused, kApplied, kSkipped, kExpired };
  Outcome outcome = Outcome::kRefused;
  HistoryId history = 0;
  uint32_t primary_hint = 0;
  Epoch hint_epoch = 0;
};
using PushDone = std::function<void(PushReply)>;

// Life: one per shard and life of a server.
class HostedShard final : public ReplicaListener, public ReplicaEffects {
 public:
  HostedShard(Server& server, ShardId shard,
              std::optional<RestoredReplica> restored);

  Replica& replica() { return *replica_; }
  // The disk has it, in the kernel; all that it has is synced.
  void OnWritten(const RecordHeader& header);
  void OnSynced();
  bool damaged() const { return damaged_; }

  void Push(const PushRequest& request, PushDone done);
  // Writes state and position to the store; the log may be cut behind it.
  bool is_void() const { return is_void_; }
  void Flush();
  void Damage();  // a bit of the applied state flips
  void InstallCheckpoint(const ToyState& state, const LogPosition& at,
                         HistoryId history, bool damaged);

  // ReplicaListener
  void Apply(const Record& record) override;
  void OnServing(Serving serving) override;
  void OnTruncated(Lsn lsn) override;
  std::optional<uint64_t> Checksum() override { return state_.hash; }
  void OnStopped(const absl::Status& status) override;
  void OnOtherHistory() override;

  // ReplicaEffects
  void WriteLog(const Record& record, Durability level) override;
  void SavePromise(const Promise& promise) override;
  void Send(const ReplicaId& to, PeerMessage message) override;
  void Report(const ReplicaReport& report) override;
  void ReadLog(const ReplicaId& peer, Lsn from, size_t bytes_max) override;
  void SendCheckpoint(const ReplicaId& learner) override;

 private:
  using Number = std::pair<uint64_t, uint64_t>;  // session, seq
  struct Waiting {
    uint64_t id;
    PushDone done;
  };

  struct Written {
    uint32_t crc;
    Durability level;
  };
  struct OnDisk {
    uint32_t crc;
    bool synced;
  };

  void CheckHeld(Lsn lsn);
  bool AnswerOld(const PushRequest& request, const PushDone& done);
  uint64_t LastAppended(uint64_t session) const;
  void Answer(const Number& number, bool skipped);
  PushReply Hint() const;

  Server& server_;
  const ShardId shard_;
  std::unique_ptr<Replica> replica_;
  ToyState state_;
  bool damaged_ = false;
  HistoryId applied_history_ = 0;          // of the record applied last
  bool is_void_ = false;                   // to be made anew
  std::map<uint64_t, uint64_t> appended_;  // primary: last number by session
  std::multimap<Number, Waiting> waiting_;
  std::map<Lsn, Written> appended_records_;  // given to the log
  std::map<Lsn, OnDisk> on_disk_;
  Lsn checked_ = 0;            // acknowledgements up to here were true
  std::map<Lsn, Record> log_;  // written, for peers
  Lsn log_cut_ = 0;            // records up to here are gone
};

}  // namespace paramo::sim
