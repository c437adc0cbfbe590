// A client: pushes to every shard, a few at a time, and retries each with the
// same number until it is answered or its deadline is over; then it gives the
// number up.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tests/sim/hosted_shard.h"
#include "tests/sim/network.h"

namespace paramo::sim {

class World;

class Client {
 public:
  Client(World& world, Node node);

  void Start();
  // The process ends and another begins, with a session of its own and what
  // was left to do.
  void Restart();
  // From now on `pushes` more to each shard, and no more.
  void WantMore(uint64_t pushes);

  Node node() const { return node_; }
  // All that was wanted is answered.
  bool IsDone(ShardId shard) const;
  std::string Describe(ShardId shard) const;

 private:
  struct InFlight {
    uint64_t id = 0;
    Micros deadline = 0;
    bool give_up = false;
    int tries = 0;
  };
  struct Stream {
    uint64_t next_seq = 1;
    std::map<uint64_t, InFlight> in_flight;  // by number
    uint32_t primary = 1;                    // as far as is known
    Epoch primary_epoch = 0;
    HistoryId history = 0;         // that the answers were of
    uint64_t left = ~uint64_t{0};  // pushes to begin
  };

  void Fill(ShardId shard);
  void Try(ShardId shard, uint64_t seq, int life);
  static bool IsOfAnotherHistory(const Stream& stream, const PushReply& reply);
  void OnReply(ShardId shard, uint64_t seq, int life, const PushReply& reply);

  World& world_;
  const Node node_;
  int life_ = 0;
  uint64_t session_ = 0;
  std::map<ShardId, Stream> streams_;
};

}  // namespace paramo::sim
