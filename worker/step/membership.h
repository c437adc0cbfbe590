// What the training loop asks of a job and its cluster. An interface, so that a
// test can be the cluster: slow, gone, or done with this worker.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "paramo/job.h"

namespace paramo {

// Contracts are those of Job's methods of the same names (paramo/job.h); the
// pulls and pushes do not wait. Threads: any.
class Membership {
 public:
  virtual ~Membership() = default;

  virtual uint32_t rank() const = 0;
  virtual uint64_t first_clock() const = 0;
  virtual JobPhase phase() const = 0;
  virtual bool member() const = 0;

  virtual Future<Status> Pull(std::span<const PullPart> parts,
                              uint64_t clock) = 0;
  virtual Future<Result<PushAck>> Push(std::span<const PushPart> parts,
                                       const StepOptions& options) = 0;

  virtual Result<DataLeases> LeaseData(std::span<const DataPosition> positions,
                                       uint32_t want) = 0;
  virtual Status Barrier(const std::string& name,
                         std::chrono::milliseconds deadline) = 0;
  virtual Result<JobReport> Describe() = 0;
  virtual void Report(const WorkerProgress& progress) = 0;
  virtual ClusterStats stats() const = 0;
};

// The real one. Borrows both.
std::unique_ptr<Membership> MakeMembership(Cluster& cluster, Job& job);

}  // namespace paramo
