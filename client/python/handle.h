// A Cluster and a Job as Python has them: closed at any time, from any thread,
// by a garbage collector or at exit; and not to be touched after a fork, which
// leaves none of their threads.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "paramo/cluster.h"
#include "paramo/job.h"

namespace paramo::python {

// Shared by its Python object and by calls under way.
// Threads: any; with the GIL unless said otherwise.
class ClusterHandle : public std::enable_shared_from_this<ClusterHandle> {
 public:
  explicit ClusterHandle(std::unique_ptr<Cluster> cluster);
  // In a forked child the cluster is left as it is: its threads are not here,
  // and to join them would wait for ever.
  ~ClusterHandle();

  // Keeps the cluster open while a call uses it.
  class Use {
   public:
    explicit Use(std::shared_ptr<ClusterHandle> handle);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Cluster& operator*() const { return *handle_->cluster_; }
    Cluster* operator->() const { return handle_->cluster_.get(); }

   private:
    std::shared_ptr<ClusterHandle> handle_;
  };
  // Raises FAILED_PRECONDITION when closed, or after a fork.
  std::shared_ptr<Use> Open();

  bool closed();
  bool forked() const;

  // Refuses new calls, waits for those that block, then leaves its jobs and
  // cancels what is in flight. More than once is harmless.
  void Close();

  // A membership, gone with the cluster.
  class JobHandle {
   public:
    JobHandle(std::shared_ptr<ClusterHandle> cluster, std::unique_ptr<Job> job);
    ~JobHandle();
    // To be kept while a call uses it. Raises FAILED_PRECONDITION when closed.
    std::shared_ptr<Job> job();
    const std::shared_ptr<ClusterHandle>& cluster() const { return cluster_; }

   private:
    friend class ClusterHandle;
    const std::shared_ptr<ClusterHandle> cluster_;
    std::shared_ptr<Job> job_;  // null: closed with its cluster
  };

 private:
  std::unique_ptr<Cluster> cluster_;  // null: closed
  const pid_t process_;

  std::mutex mu_;
  std::condition_variable idle_;
  bool closed_ = false;
  int uses_ = 0;
  std::set<JobHandle*> jobs_;
};

}  // namespace paramo::python
