#include "worker/data/batch_plan.h"

#include <numeric>

#include "common/base/check.h"
#include "common/base/status.h"

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

// Makes order_ that of `epoch`.
absl::Status BatchReader::SortOut(uint64_t epoch) {
  if (!order_.empty() && order_epoch_ == epoch) return absl::OkStatus();
  switch (plan_.partition) {
    case Partition::kRandom:
      order_ = EpochOrder(plan_.seed, epoch, plan_.examples);
      break;
    case Partition::kStratified:
      if (labels_.empty()) {
        PARAMO_ASSIGN_OR_RETURN(labels_, LabelsOf(dataset_));
      }
      order_ = StratifiedOrder(plan_.seed, epoch, labels_);
      break;
    case Partition::kContiguous:
      order_.resize(plan_.examples);
      std::iota(order_.begin(), order_.end(), 0u);
      break;
  }
  order_epoch_ = epoch;
  return absl::OkStatus();
}

absl::Status BatchReader::Read(BatchId id, Batch& out) {
  PARAMO_CHECK(id.data_shard < plan_.data_shards());
  PARAMO_CHECK(id.batch < plan_.BatchesIn(id.data_shard));
  PARAMO_RETURN_IF_ERROR(SortOut(plan_.EpochOf(id.data_shard)));
  const BatchPlan::Range range = plan_.RangeOf(id);
  const auto indices =
      absl::MakeConstSpan(order_).subspan(range.begin, range.size);
  out.size = range.size;
  out.number = id.data_shard << 32 | id.batch;
  out.indices.assign(indices.begin(), indices.end());
  out.features.resize(range.size * dataset_.features());
  out.labels.resize(range.size);
  return dataset_.Read(indices, absl::MakeSpan(out.features),
                       absl::MakeSpan(out.labels));
}

}  // namespace paramo
