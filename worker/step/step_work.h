// What the training loop does in a step, whatever the model: dense models pull
// and push whole tensors, sparse ones the rows that the batch needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "paramo/cluster.h"
#include "worker/data/dataset.h"
#include "worker/step/workload.h"

namespace paramo {

// Owns what pulls write and pushes read. Both may go on after a failure, so it
// must outlive the Cluster that it is opened on.
//
// Steps alternate between two sides, so that the push of one may still be on
// its way while the next is worked on:
//
//   Prepare(batch, side)          -> pull PullParts(side)
//   Gradients(batch, clock, side) -> push PushParts(side)
//
// Threads: one at a time.
class StepWork {
 public:
  virtual ~StepWork() = default;

  // Creates the job's tables, or opens them. Once, before all else.
  // Errors: of Cluster::CreateTable.
  virtual absl::Status Open(Cluster& cluster) = 0;

  // Whether a step pulls the same whatever its batch is, so that the pull can
  // be made before the batch is there.
  virtual bool pulls_ahead() const = 0;

  virtual void Prepare(const Batch& batch, int side) = 0;
  virtual const std::vector<PullPart>& PullParts(int side) = 0;
  // Mean loss of the batch, with what was pulled for step `clock`. Where models
  // are averaged these are several steps on a copy of it.
  virtual double Gradients(const Batch& batch, uint64_t clock, int side) = 0;
  virtual const std::vector<PushPart>& PushParts(int side) = 0;

  // One small part, pulled only to learn that a round has closed.
  virtual const std::vector<PullPart>& ProbeParts() = 0;

  // The job's metric on held-out data. Dense models take the parameters pulled
  // last; sparse ones fetch all rows.
  // Errors: of the data set, of the cluster.
  virtual absl::StatusOr<double> Evaluate() = 0;

  // Writes the parameters that Evaluate has just used as FILE.npz.
  virtual absl::Status Save(const std::string& file) = 0;
};

// For either kind. Borrows `work`.
std::unique_ptr<StepWork> MakeStepWork(Workload& work);
std::unique_ptr<StepWork> MakeDenseWork(Workload& work);
std::unique_ptr<StepWork> MakeSparseWork(Workload& work);

}  // namespace paramo
