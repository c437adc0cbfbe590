// The same job in one process, without a cluster: what a distributed run is
// held against.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/model/model.h"
#include "worker/model/sparse_model.h"
#include "worker/step/job_file.h"

namespace paramo {

struct ReferenceEpoch {
  size_t epoch = 0;  // 1 = the first one is over
  double loss = 0;   // mean over the epoch's rounds
  double metric = 0;
};

struct ReferenceResult {
  double metric = 0;  // of the final weights on held-out data
  double loss = 0;    // mean over the last epoch's rounds
  size_t rounds = 0;
  std::vector<std::vector<float>> weights;  // by tensor, or by table
};

// Trains by the rounds of bsp, whatever the job's sync is. Rank r of `workers`
// reads data shards r, r + workers, ... in turn; round c holds the c-th batch
// of every rank that still has one. The round's gradient is the mean weighted
// by examples, summed in order of ranks with one fused multiply-add per term,
// as servers do it; so the weights of an undisturbed bsp run are the same to
// the last bit where the matrix products are.
//
// `on_epoch` is called whenever rank 0 has finished an epoch's data shards,
// and after the last round.
// Errors: those of the data sets; OUT_OF_RANGE when the loss is not finite.
// Threads: one; borrows everything.
absl::StatusOr<ReferenceResult> TrainReference(
    const JobFile& job, Model& model, const Dataset& train, const Dataset& test,
    const std::function<void(const ReferenceEpoch&)>& on_epoch);

// The same for a sparse model; a round changes the rows that it touches. An
// async run, which has no rounds, is held against this too.
absl::StatusOr<ReferenceResult> TrainSparseReference(
    const JobFile& job, SparseModel& model, const Dataset& train,
    const std::function<void(const ReferenceEpoch&)>& on_epoch);

}  // namespace paramo
