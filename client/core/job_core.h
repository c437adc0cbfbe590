// The machinery behind a Job: its membership, session and heartbeats.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "client/core/core.h"
#include "client/core/session.h"
#include "common/base/mutex.h"
#include "paramo/job.h"

namespace paramo::client {

// Life: made by Job::Join; the destructor stops the heartbeats and leaves.
// Threads: any.
class JobCore {
 public:
  static Result<std::unique_ptr<JobCore>> Join(Core& core,
                                               const std::string& name);
  ~JobCore();

  Core& core() { return core_; }
  const std::shared_ptr<Session>& session() const { return session_; }
  const JobSpec& spec() const { return spec_; }
  uint32_t job() const { return job_; }
  uint32_t rank() const { return rank_; }
  uint64_t first_clock() const { return first_clock_; }
  JobPhase phase() const { return phase_.load(std::memory_order_relaxed); }
  bool member() const { return member_.load(std::memory_order_relaxed); }

  void Report(const WorkerProgress& progress);
  Status Leave(const std::string& error);

 private:
  explicit JobCore(Core& core) : core_(core) {}

  void RunHeartbeats();
  void Beat();

  Core& core_;
  std::shared_ptr<Session> session_;  // shared with calls in flight
  JobSpec spec_;
  uint32_t job_ = 0;
  uint32_t rank_ = 0;
  uint64_t first_clock_ = 0;

  // Written by the heartbeat thread, read by any; relaxed: news, no order.
  std::atomic<JobPhase> phase_{JobPhase::kWaiting};
  std::atomic<bool> member_{true};

  std::thread heartbeats_;
  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool left_ ABSL_GUARDED_BY(mu_) = false;
  WorkerProgress progress_ ABSL_GUARDED_BY(mu_);
};

}  // namespace paramo::client
