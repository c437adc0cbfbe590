#include "worker/step/reference_rounds.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "worker/data/batch_plan.h"

namespace paramo {
namespace {

// One worker's walk through its data shards.
class Rank {
 public:
  Rank(const Dataset& data, const BatchPlan& plan, size_t rank, size_t workers)
      : plan_(plan), reader_(data, plan), next_{rank, 0}, workers_(workers) {}

  bool exhausted() const { return next_.data_shard >= plan_.data_shards(); }
  size_t epoch() const { return plan_.EpochOf(next_.data_shard); }

  // Reads the next batch. Not when exhausted.
  absl::Status Advance(Batch& batch) {
    PARAMO_RETURN_IF_ERROR(reader_.Read(next_, batch));
    if (++next_.batch == plan_.BatchesIn(next_.data_shard)) {
      next_ = {next_.data_shard + workers_, 0};
    }
    return absl::OkStatus();
  }

 private:
  const BatchPlan plan_;
  BatchReader reader_;
  BatchId next_;
  const size_t workers_;
};

// All of them, round by round.
class Ranks {
 public:
  Ranks(const JobFile& job, const Dataset& train) : batches_(job.workers) {
    const BatchPlan plan = job.Plan(train.examples());
    for (size_t rank = 0; rank < job.workers; ++rank) {
      ranks_.emplace_back(train, plan, rank, job.workers);
    }
  }

  bool exhausted() const {
    for (const Rank& rank : ranks_) {
      if (!rank.exhausted()) return false;
    }
    return true;
  }
  size_t epoch() const { return ranks_[0].epoch(); }
  const std::vector<Batch>& batches() const { return batches_; }

  // Reads the batches of the next round; returns its examples.
  absl::StatusOr<size_t> Advance() {
    size_t examples = 0;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      batches_[r].size = 0;
      if (ranks_[r].exhausted()) continue;
      PARAMO_RETURN_IF_ERROR(ranks_[r].Advance(batches_[r]));
      examples += batches_[r].size;
    }
    return examples;
  }

 private:
  std::vector<Rank> ranks_;
  std::vector<Batch> batches_;  // of this round, by rank; size 0 = none
};

}  // namespace

absl::StatusOr<ReferenceResult> TrainRounds(
    const JobFile& job, const Dataset& train, ReferenceModel& model,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  Ranks ranks(job, train);
  ReferenceResult result;
  double loss_sum = 0;
  size_t loss_rounds = 0;
  size_t epoch = 0;
  while (!ranks.exhausted()) {
    PARAMO_ASSIGN_OR_RETURN(const size_t examples, ranks.Advance());
    const double loss = model.Round(ranks.batches(), examples, result.rounds);
    ++result.rounds;
    if (!std::isfinite(loss)) {
      return absl::OutOfRangeError(
          absl::StrCat("the loss is not finite in round ", result.rounds,
                       "; lower optimizer.lr in the job file"));
    }
    loss_sum += loss;
    ++loss_rounds;
    const bool last = ranks.exhausted();
    if (!last && (ranks.epoch() == epoch || ranks.epoch() >= job.epochs)) {
      continue;
    }
    PARAMO_ASSIGN_OR_RETURN(result.metric, model.Metric());
    result.loss = loss_sum / static_cast<double>(loss_rounds);
    epoch = last ? job.epochs : ranks.epoch();
    on_epoch({epoch, result.loss, result.metric});
    loss_sum = 0;
    loss_rounds = 0;
  }
  result.weights = model.TakeWeights();
  return result;
}

}  // namespace paramo
