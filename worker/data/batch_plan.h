// How the examples of a job become batches and data shards. A pure function of
// the job, so that every worker, a restarted one and the reference agree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/data/dataset.h"
#include "worker/data/partition.h"

namespace paramo {

// Names one batch of the job: batch `batch` of data shard `data_shard`.
struct BatchId {
  uint64_t data_shard = 0;
  uint32_t batch = 0;
};

// Each epoch has its own order of the examples, cut into batches of
// `batch_examples` (the last one shorter); runs of `batches_per_data_shard`
// batches are its data shards (the last one shorter). Data shards are numbered
// on through all epochs.
//
//   epoch 0                          epoch 1
//   |b b b b|b b b b|b b b b|b b|    |b b b b|...
//    shard 0  1       2       3        4
struct BatchPlan {
  uint64_t seed = 0;
  size_t examples = 0;        // of one epoch
  size_t batch_examples = 0;  // of one step of one worker
  size_t batches_per_data_shard = 0;
  size_t epochs = 0;
  Partition partition = Partition::kRandom;

  size_t batches_per_epoch() const {
    return (examples + batch_examples - 1) / batch_examples;
  }
  uint64_t data_shards_per_epoch() const {
    return (batches_per_epoch() + batches_per_data_shard - 1) /
           batches_per_data_shard;
  }
  uint64_t data_shards() const { return epochs * data_shards_per_epoch(); }
  uint64_t EpochOf(uint64_t data_shard) const {
    return data_shard / data_shards_per_epoch();
  }
  uint32_t BatchesIn(uint64_t data_shard) const;

  // Where the batch lies in its epoch's order: [begin, begin + size).
  struct Range {
    size_t begin;
    size_t size;
  };
  Range RangeOf(BatchId id) const;
};

// Reads batches by name. Keeps the order of the epoch it read last.
// Threads: one at a time; borrows the data set.
class BatchReader {
 public:
  BatchReader(const Dataset& dataset, const BatchPlan& plan)
      : dataset_(dataset), plan_(plan) {}

  // `out` is reused: its vectors keep their memory from batch to batch.
  absl::Status Read(BatchId id, Batch& out);

 private:
  absl::Status SortOut(uint64_t epoch);

  const Dataset& dataset_;
  const BatchPlan plan_;
  std::vector<int32_t> labels_;  // of all examples, when the order needs them
  std::vector<uint32_t> order_;
  uint64_t order_epoch_ = 0;
};

}  // namespace paramo
