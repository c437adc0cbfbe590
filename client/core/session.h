// The client's half of exactly-once: numbers of pushes per (session, shard),
// a window of them in flight, and what the session has seen of each shard.
//
//   seq    ... 40 41 | 42  43  44  45 ... 73 | 74
//          settled     ^lowest unsettled       next; waits in the queue while
//                                              next >= lowest + kSessionWindow
//
// A number is given out when its push may be sent, so a push that gave up in
// the queue leaves no gap. Once given out, a number must be settled: answered
// by the server, whatever the answer. A push that gave up at its deadline
// leaves that to a filler (delivery.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/base/limits.h"

namespace paramo::client {

struct Call;

// One push waiting for a number, or for the pushes before it to go.
struct QueuedPush {
  std::shared_ptr<Call> call;
  uint32_t parcel = 0;
};

// A pure state machine. Threads: the owner of Delivery serialises them, but for
// TakesBulkLane.
class Session {
 public:
  Session(SessionId id, uint32_t epoch, uint32_t shard_count)
      : id_(id), epoch_(epoch), shards_(shard_count) {}

  SessionId id() const { return id_; }
  uint32_t epoch() const { return epoch_; }

  // Why no push of this session can succeed any more; OK while one can.
  const absl::Status& over() const { return over_; }
  void End(absl::Status why);

  // True when the shard's next number may be sent now.
  bool MayTake(ShardId shard) const {
    const Shard& s = shards_[shard];
    return s.next < s.lowest + kSessionWindow;
  }
  // The number's push waits to be sent.
  SeqNo Take(ShardId shard);
  // The server has answered `seq`; the window may move.
  void Settle(ShardId shard, SeqNo seq);
  SeqNo lowest(ShardId shard) const { return shards_[shard].lowest; }

  // Order. While a push with a number waits to be sent, or sent again, later
  // ones of its shard are kept back: the server could only hold them, and
  // enough held requests would keep the awaited one from being read at all.
  void SetUnsent(ShardId shard, SeqNo seq, bool unsent);
  bool MustFollow(ShardId shard, SeqNo seq) const;
  // Pushes kept back, by number.
  std::map<SeqNo, QueuedPush>& kept_back(ShardId shard) {
    return shards_[shard].kept_back;
  }

  // Pushes that found the window full, in order.
  std::deque<QueuedPush>& queue(ShardId shard) { return shards_[shard].queue; }

  // Whether some push waits for the window to move, or for one to go out.
  bool HasWaiting(ShardId shard) const {
    return !shards_[shard].queue.empty() || !shards_[shard].kept_back.empty();
  }

  // The newest state of the shard that an answer has shown.
  void Saw(ShardId shard, HistoryId history, Epoch epoch, Lsn lsn);
  HistoryId history(ShardId shard) const { return shards_[shard].history; }
  Epoch floor_epoch(ShardId shard) const { return shards_[shard].floor_epoch; }
  Lsn floor_lsn(ShardId shard) const { return shards_[shard].floor_lsn; }

  // Whether a push of so many bytes takes the lane of big messages. Once one
  // has, all take it: on two lanes a small push would overtake the big one that
  // comes before it by number, and the server would hold it, or send it back.
  // Any thread.
  bool TakesBulkLane(size_t bytes, size_t big) {
    if (bytes > big) bulk_.store(true, std::memory_order_relaxed);
    return bulk_.load(std::memory_order_relaxed);
  }

 private:
  struct Shard {
    SeqNo next = 1;
    SeqNo lowest = 1;      // unsettled; == next when all are settled
    uint64_t settled = 0;  // bit i: lowest + i is settled (bit 0 is clear)
    uint64_t unsent = 0;   // bit i: lowest + i waits to be sent (again)
    std::deque<QueuedPush> queue;
    std::map<SeqNo, QueuedPush> kept_back;
    HistoryId history = 0;
    Epoch floor_epoch = 0;
    Lsn floor_lsn = 0;
  };

  const SessionId id_;
  const uint32_t epoch_;
  absl::Status over_;
  std::vector<Shard> shards_;
  std::atomic<bool> bulk_{false};  // has made a big push
};

}  // namespace paramo::client
