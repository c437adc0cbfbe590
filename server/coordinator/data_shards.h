// Who reads which part of a job's data. A pure state machine; shards here are
// data shards, runs of consecutive batches of an epoch's order.
//
//   g = epoch x shards_per_epoch + i,  i in [0, shards_per_epoch)
//   shards_per_epoch = ceil(ceil(examples / batch) / batches_per_shard)
//
// A free plan hands shards out in order, first come, first served. An owned
// plan gives shard g to rank g mod workers, and to another rank only while
// that owner is gone, so that an undisturbed run reads the same every time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/ids.h"

namespace paramo {
namespace v1 {
class StoredDataShards;
}

struct DataPlan {
  uint32_t workers = 1;
  uint32_t epochs = 1;
  uint64_t examples = 1;  // of one epoch
  uint32_t batch = 1;
  uint32_t batches_per_shard = 1;
  bool owned = false;

  uint64_t BatchesPerEpoch() const;
  uint64_t ShardsPerEpoch() const;
  uint64_t Shards() const { return ShardsPerEpoch() * epochs; }
  // The last shard of an epoch may be short.
  uint32_t BatchesOf(uint64_t shard) const;
};

// Where the reader of a shard stands.
struct DataPlace {
  uint64_t shard = 0;
  uint32_t batches_done = 0;  // resumed after this many
  bool finished = false;
};

// Invariant: every shard is in exactly one place: not handed out yet, leased
// to one worker, returned by a dead one, or finished.
class DataShards {
 public:
  explicit DataShards(const DataPlan& plan);

  // Whether a rank has no live worker, so that others may take its shards.
  using IsGone = std::function<bool(WorkerId)>;

  // Takes in what `worker` says of its leases. Places of shards it does not
  // hold are ignored: they repeat a report whose answer was lost.
  // Errors: INVALID_ARGUMENT  more batches done than the shard has
  absl::Status Report(WorkerId worker, const std::vector<DataPlace>& places);

  // Leases of `worker` that it did not name in `named`, because the answer
  // that gave them was lost, and new ones, so that it holds `want` in all as
  // far as there are any. Lowest shards first.
  std::vector<DataPlace> Lease(WorkerId worker,
                               const std::vector<DataPlace>& named, size_t want,
                               const IsGone& is_gone);

  // The worker is gone: what it held goes back, at the last place reported.
  void Return(WorkerId worker);

  // Nothing is left for `worker` to ask for: every unfinished shard is leased
  // to itself. What others hold may still come back, should they die.
  bool Exhausted(WorkerId worker) const;

  bool AllFinished() const { return finished_ == plan_.Shards(); }
  uint64_t finished() const { return finished_; }
  // Batches that may have been read twice because their reader died: those of
  // its leases beyond the last place reported. An upper bound, since what the
  // dead had really read is unknown.
  uint64_t batches_repeated() const { return batches_repeated_; }

  std::string Serialise() const;
  absl::Status Load(absl::string_view bytes);

 private:
  struct Held {
    WorkerId worker;
    uint32_t batches_done;
  };

  WorkerId OwnerOf(uint64_t shard) const;
  bool MayTake(WorkerId worker, uint64_t shard, const IsGone& is_gone) const;
  // The lowest shard that `worker` may take; false when there is none.
  bool TakeLowest(WorkerId worker, const IsGone& is_gone, DataPlace& taken);
  size_t HeldBy(WorkerId worker) const;

  const DataPlan plan_;
  std::vector<uint64_t> next_;  // per owner: first shard never handed out
  std::map<uint64_t, Held> leased_;
  std::map<uint64_t, uint32_t> returned_;  // shard -> batches done
  uint64_t finished_ = 0;
  uint64_t batches_repeated_ = 0;
};

}  // namespace paramo
