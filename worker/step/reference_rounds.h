// The rounds of a reference run, whatever the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/data/dataset.h"
#include "worker/step/job_file.h"
#include "worker/step/reference.h"

namespace paramo {

// Parameters, and what one round does to them. Threads: one.
class ReferenceModel {
 public:
  virtual ~ReferenceModel() = default;

  // One batch per rank, in their order; a batch of size 0 is none. Returns the
  // mean loss over the round's `examples`.
  // `clock` counts rounds from 0.
  virtual double Round(absl::Span<const Batch> batches, size_t examples,
                       uint64_t clock) = 0;

  virtual absl::StatusOr<double> Metric() = 0;
  virtual std::vector<std::vector<float>> TakeWeights() = 0;
};

// Errors: those of the data set; OUT_OF_RANGE when the loss is not finite.
absl::StatusOr<ReferenceResult> TrainRounds(
    const JobFile& job, const Dataset& train, ReferenceModel& model,
    const std::function<void(const ReferenceEpoch&)>& on_epoch);

}  // namespace paramo
