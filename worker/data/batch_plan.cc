#include "worker/data/batch_plan.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"

namespace paramo {

uint32_t BatchPlan::BatchesIn(uint64_t data_shard) const {
  const size_t first =
      (data_shard % data_shards_per_epoch()) * batches_per_data_shard;
  return static_cast<uint32_t>(
      std::min(batches_per_data_shard, batches_per_epoch() - first));
}

BatchPlan::Range BatchPlan::RangeOf(BatchId id) const {
  const size_t batch =
      (id.data_shard % data_shards_per_epoch()) * batches_per_data_shard +
      id.batch;
  const size_t begin = batch * batch_examples;
  return {begin, std::min(batch_examples, examples - begin)};
}

std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch,
                                 size_t examples) {
  std::vector<uint32_t> order(examples);
  for (size_t i = 0; i < examples; ++i) order[i] = static_cast<uint32_t>(i);
  BitGen random(Mix64(Mix64(seed) ^ epoch));
  for (size_t i = examples; i > 1; --i) {
    std::swap(order[i - 1], order[random.Below(i)]);
  }
  return order;
}

absl::Status BatchReader::Read(BatchId id, Batch& out) {
  PARAMO_CHECK(id.data_shard < plan_.data_shards());
  PARAMO_CHECK(id.batch < plan_.BatchesIn(id.data_shard));
  const uint64_t epoch = plan_.EpochOf(id.data_shard);
  if (order_.empty() || order_epoch_ != epoch) {
    order_ = EpochOrder(plan_.seed, epoch, plan_.examples);
    order_epoch_ = epoch;
  }
  const BatchPlan::Range range = plan_.RangeOf(id);
  out.size = range.size;
  out.features.resize(range.size * dataset_.features());
  out.labels.resize(range.size);
  return dataset_.Read(
      absl::MakeConstSpan(order_).subspan(range.begin, range.size),
      absl::MakeSpan(out.features), absl::MakeSpan(out.labels));
}

}  // namespace paramo
