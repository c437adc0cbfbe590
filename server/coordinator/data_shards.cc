#include "server/coordinator/data_shards.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "paramo/v1/stored.pb.h"

namespace paramo {
namespace {

uint64_t DivideUp(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

}  // namespace

uint64_t DataPlan::BatchesPerEpoch() const { return DivideUp(examples, batch); }

uint64_t DataPlan::ShardsPerEpoch() const {
  return DivideUp(BatchesPerEpoch(), batches_per_shard);
}

uint32_t DataPlan::BatchesOf(uint64_t shard) const {
  uint64_t first = shard % ShardsPerEpoch() * batches_per_shard;
  return static_cast<uint32_t>(
      std::min<uint64_t>(batches_per_shard, BatchesPerEpoch() - first));
}

DataShards::DataShards(const DataPlan& plan) : plan_(plan) {
  // A free plan is one with a single owner, whom everybody shares.
  uint32_t owners = plan.owned ? plan.workers : 1;
  for (uint32_t owner = 0; owner < owners; ++owner) next_.push_back(owner);
}

WorkerId DataShards::OwnerOf(uint64_t shard) const {
  return static_cast<WorkerId>(shard % next_.size());
}

absl::Status DataShards::Report(WorkerId worker,
                                const std::vector<DataPlace>& places) {
  for (const DataPlace& place : places) {
    if (place.shard < plan_.Shards() &&
        place.batches_done <= plan_.BatchesOf(place.shard)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "position ", place.shard, ":", place.batches_done, " does not exist; ",
        "the job has ", plan_.Shards(), " data shards of at most ",
        plan_.batches_per_shard, " batches"));
  }
  for (const DataPlace& place : places) {
    auto held = leased_.find(place.shard);
    if (held == leased_.end() || held->second.worker != worker) continue;
    if (place.finished) {
      leased_.erase(held);
      ++finished_;
    } else {
      held->second.batches_done =
          std::max(held->second.batches_done, place.batches_done);
    }
  }
  return absl::OkStatus();
}

std::vector<DataPlace> DataShards::Lease(WorkerId worker,
                                         const std::vector<DataPlace>& named,
                                         size_t want, const IsGone& is_gone) {
  std::vector<DataPlace> leases;
  size_t held_count = 0;
  for (const auto& [shard, held] : leased_) {
    if (held.worker != worker) continue;
    ++held_count;
    uint64_t wanted = shard;
    bool known = std::any_of(
        named.begin(), named.end(),
        [wanted](const DataPlace& place) { return place.shard == wanted; });
    if (!known) leases.push_back({shard, held.batches_done, false});
  }
  DataPlace taken;
  while (held_count < want && TakeLowest(worker, is_gone, taken)) {
    leases.push_back(taken);
    ++held_count;
  }
  return leases;
}

bool DataShards::MayTake(WorkerId worker, uint64_t shard,
                         const IsGone& is_gone) const {
  return !plan_.owned || OwnerOf(shard) == worker || is_gone(OwnerOf(shard));
}

bool DataShards::TakeLowest(WorkerId worker, const IsGone& is_gone,
                            DataPlace& taken) {
  uint64_t lowest = plan_.Shards();
  uint32_t batches_done = 0;
  for (const auto& [shard, done] : returned_) {
    if (!MayTake(worker, shard, is_gone)) continue;
    lowest = shard;
    batches_done = done;
    break;
  }
  for (uint64_t shard : next_) {
    if (shard < lowest && MayTake(worker, shard, is_gone)) {
      lowest = shard;
      batches_done = 0;
    }
  }
  if (lowest == plan_.Shards()) return false;
  if (returned_.erase(lowest) == 0) next_[OwnerOf(lowest)] += next_.size();
  leased_[lowest] = {worker, batches_done};
  taken = {lowest, batches_done, false};
  return true;
}

void DataShards::Return(WorkerId worker) {
  for (auto it = leased_.begin(); it != leased_.end();) {
    if (it->second.worker != worker) {
      ++it;
      continue;
    }
    uint32_t done = it->second.batches_done;
    batches_repeated_ += plan_.BatchesOf(it->first) - done;
    returned_[it->first] = done;
    it = leased_.erase(it);
  }
}

size_t DataShards::HeldBy(WorkerId worker) const {
  return static_cast<size_t>(std::count_if(
      leased_.begin(), leased_.end(),
      [worker](const auto& held) { return held.second.worker == worker; }));
}

bool DataShards::Exhausted(WorkerId worker) const {
  return plan_.Shards() - finished_ == HeldBy(worker);
}

std::string DataShards::Serialise() const {
  v1::StoredDataShards stored;
  for (uint64_t next : next_) stored.add_next(next);
  for (const auto& [shard, held] : leased_) {
    v1::StoredDataShards::Lease* lease = stored.add_leases();
    lease->set_worker(held.worker);
    lease->mutable_position()->set_data_shard(shard);
    lease->mutable_position()->set_batches_done(held.batches_done);
  }
  for (const auto& [shard, done] : returned_) {
    v1::DataPosition* position = stored.add_returned();
    position->set_data_shard(shard);
    position->set_batches_done(done);
  }
  stored.set_finished(finished_);
  stored.set_batches_repeated(batches_repeated_);
  return stored.SerializeAsString();
}

absl::Status DataShards::Load(absl::string_view bytes) {
  v1::StoredDataShards stored;
  if (!stored.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      static_cast<size_t>(stored.next_size()) != next_.size()) {
    return absl::DataLossError("unreadable data shard entry");
  }
  next_.assign(stored.next().begin(), stored.next().end());
  leased_.clear();
  returned_.clear();
  for (const v1::StoredDataShards::Lease& lease : stored.leases()) {
    leased_[lease.position().data_shard()] = {lease.worker(),
                                              lease.position().batches_done()};
  }
  for (const v1::DataPosition& position : stored.returned()) {
    returned_[position.data_shard()] = position.batches_done();
  }
  finished_ = stored.finished();
  batches_repeated_ = stored.batches_repeated();
  return absl::OkStatus();
}

}  // namespace paramo
