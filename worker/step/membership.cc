#include "worker/step/membership.h"

namespace paramo {
namespace {

class JobMembership final : public Membership {
 public:
  JobMembership(Cluster& cluster, Job& job) : cluster_(cluster), job_(job) {}

  uint32_t rank() const override { return job_.rank(); }
  uint64_t first_clock() const override { return job_.first_clock(); }
  JobPhase phase() const override { return job_.phase(); }
  bool member() const override { return job_.member(); }

  Future<Status> Pull(std::span<const PullPart> parts,
                      uint64_t clock) override {
    return job_.PullAsync(parts, clock);
  }
  Future<Result<PushAck>> Push(std::span<const PushPart> parts,
                               const StepOptions& options) override {
    return job_.PushAsync(parts, options);
  }

  Result<DataLeases> LeaseData(std::span<const DataPosition> positions,
                               uint32_t want) override {
    return job_.LeaseData(positions, want);
  }
  Status Barrier(const std::string& name,
                 std::chrono::milliseconds deadline) override {
    return job_.Barrier(name, deadline);
  }
  Result<JobReport> Describe() override { return job_.Describe(); }
  void Report(const WorkerProgress& progress) override {
    job_.Report(progress);
  }
  ClusterStats stats() const override { return cluster_.stats(); }

 private:
  Cluster& cluster_;
  Job& job_;
};

}  // namespace

std::unique_ptr<Membership> MakeMembership(Cluster& cluster, Job& job) {
  return std::make_unique<JobMembership>(cluster, job);
}

}  // namespace paramo
