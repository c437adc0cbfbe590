#include "client/core/session.h"

#include "common/base/check.h"

namespace paramo::client {

static_assert(kSessionWindow <= 64, "Shard::settled is one word");

void Session::End(absl::Status why) {
  over_ = std::move(why);
  // The queued calls hold this session: let go of them.
  for (Shard& shard : shards_) {
    shard.queue.clear();
    shard.kept_back.clear();
  }
}

SeqNo Session::Take(ShardId shard) {
  const SeqNo seq = shards_[shard].next++;
  SetUnsent(shard, seq, true);
  return seq;
}

void Session::Settle(ShardId shard, SeqNo seq) {
  Shard& s = shards_[shard];
  if (seq < s.lowest) return;  // a second answer
  PARAMO_CHECK(seq < s.next);
  const uint64_t bit = uint64_t{1} << (seq - s.lowest);
  s.settled |= bit;
  s.unsent &= ~bit;
  while (s.settled & 1) {
    s.settled >>= 1;
    s.unsent >>= 1;
    ++s.lowest;
  }
}

void Session::SetUnsent(ShardId shard, SeqNo seq, bool unsent) {
  Shard& s = shards_[shard];
  if (seq < s.lowest) return;
  const uint64_t bit = uint64_t{1} << (seq - s.lowest);
  s.unsent = unsent ? s.unsent | bit : s.unsent & ~bit;
}

bool Session::MustFollow(ShardId shard, SeqNo seq) const {
  const Shard& s = shards_[shard];
  if (seq <= s.lowest) return false;
  const uint64_t earlier = (uint64_t{1} << (seq - s.lowest)) - 1;
  return (s.unsent & earlier) != 0;
}

void Session::Saw(ShardId shard, HistoryId history, Epoch epoch, Lsn lsn) {
  Shard& s = shards_[shard];
  if (history != s.history) {
    // Another past: positions of the old one mean nothing here.
    s.history = history;
    s.floor_epoch = epoch;
    s.floor_lsn = lsn;
    return;
  }
  if (epoch < s.floor_epoch) return;
  if (epoch > s.floor_epoch) {
    s.floor_epoch = epoch;
    s.floor_lsn = lsn;
  } else if (lsn > s.floor_lsn) {
    s.floor_lsn = lsn;
  }
}

}  // namespace paramo::client
