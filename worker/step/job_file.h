// The description of a training job: one YAML file, the same on every worker.
// docs/job_file.md is its reference; this reads and checks it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "paramo/job.h"
#include "worker/data/batch_plan.h"

namespace paramo {

// Workers take `local_steps` steps of sgd each before a round, and the round
// averages their models (docs/consistency.md).
struct Averaging {
  size_t local_steps = 1;
  std::string rule;                           // on the average; empty: none
  std::map<std::string, double> rule_params;  // lr is always there
};

struct JobFile {
  std::string job;
  Sync sync;
  size_t epochs = 0;
  uint64_t seed = 1;
  size_t workers = 0;

  std::string data_format;  // "idx", "libsvm" or "debgraph"
  std::string data_dir;     // of idx
  std::string data_file;    // of the others
  Partition partition = Partition::kRandom;
  size_t global_batch = 0;  // examples of one round, over all workers
  size_t batches_per_data_shard = 4;

  std::string model_kind;      // "mlp" or "softmax"; "logistic"; "link"
  std::vector<size_t> layers;  // dense: inputs, hidden layers, classes
  size_t dim = 32;             // link: floats of a row
  size_t negatives = 5;        // link: per edge

  std::string rule;
  std::map<std::string, double> rule_params;  // what the file sets
  Clipping clipping;
  Schedule schedule;
  Averaging averaging;

  std::string table_prefix;
  size_t table_block = 4096;  // elements of one row of a dense tensor

  std::string text;  // the file itself

  // Whether the model's parameters are whole tensors.
  bool dense() const { return data_format.empty() || data_format == "idx"; }
  size_t worker_batch() const { return global_batch / workers; }
  // What a worker's steps between two rounds take each.
  size_t step_examples() const {
    return worker_batch() / averaging.local_steps;
  }
  BatchPlan Plan(size_t examples) const;

  // Seed of the initializer of tensor or table `index`; never 0, which would
  // mean "any".
  uint64_t TensorSeed(size_t index) const;

  // Of a local step of the round at `clock`.
  float LocalRate(uint64_t clock) const;

  // Of the tables. Where models are averaged the contributions are sums of
  // gradients (worker/model/local_steps.h), so that the workers' learning rate
  // is a factor of the tables'.
  UpdateRule TableRule() const;

  // All that the file says of table PREFIX.`name`, the `index`-th; the model
  // says the rest.
  TableSpec SpecOf(const std::string& name, size_t index) const;
};

// Errors: INVALID_ARGUMENT  "file:line:column: what is wrong and what to do"
absl::StatusOr<JobFile> ParseJobFile(absl::string_view text,
                                     absl::string_view file);

// Errors: those of the file system, and of ParseJobFile.
absl::StatusOr<JobFile> ReadJobFile(const std::string& file);

}  // namespace paramo
