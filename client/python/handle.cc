#include "client/python/handle.h"

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>

#include "client/python/errors.h"
#include "client/python/wait.h"

namespace py = pybind11;

namespace paramo::python {
namespace {

[[noreturn]] void RaiseClosed(const char* what) {
  Raise(Status(Code::kFailedPrecondition, std::string(what) + " is closed",
               "keep the `with` block, or the object that paramo.connect() "
               "returned, open for as long as its tables are used"));
}

}  // namespace

ClusterHandle::ClusterHandle(std::unique_ptr<Cluster> cluster)
    : cluster_(std::move(cluster)), process_(getpid()) {}

ClusterHandle::~ClusterHandle() {
  if (forked()) {
    (void)cluster_.release();
  } else if (cluster_ != nullptr) {
    py::gil_scoped_release released;
    cluster_.reset();
  }
}

bool ClusterHandle::forked() const { return getpid() != process_; }

bool ClusterHandle::closed() {
  if (forked()) return true;
  std::lock_guard<std::mutex> lock(mu_);
  return closed_;
}

std::shared_ptr<ClusterHandle::Use> ClusterHandle::Open() {
  if (forked()) {
    Raise(Status(
        Code::kFailedPrecondition,
        "this cluster was connected in process " + std::to_string(process_) +
            "; this is process " + std::to_string(getpid()) + ", a fork of it",
        "start workers with multiprocessing's \"spawn\" or "
        "\"forkserver\" (DataLoader(multiprocessing_context=\"spawn\"))"
        " and connect in each of them"));
  }
  return std::make_shared<Use>(shared_from_this());
}

ClusterHandle::Use::Use(std::shared_ptr<ClusterHandle> handle)
    : handle_(std::move(handle)) {
  bool closed;
  {
    std::lock_guard<std::mutex> lock(handle_->mu_);
    closed = handle_->closed_;
    if (!closed) ++handle_->uses_;
  }
  if (closed) RaiseClosed("this cluster");
}

ClusterHandle::Use::~Use() {
  std::lock_guard<std::mutex> lock(handle_->mu_);
  if (--handle_->uses_ == 0) handle_->idle_.notify_all();
}

// The calls that block have deadlines; a Ctrl-C ends the wait for them and
// leaves the cluster closed to new ones, to be closed again or collected.
void ClusterHandle::Close() {
  if (forked()) return;
  while (true) {
    {
      py::gil_scoped_release released;
      std::unique_lock<std::mutex> lock(mu_);
      closed_ = true;
      if (idle_.wait_for(lock, kSignalsEvery, [this] { return uses_ == 0; })) {
        break;
      }
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  for (JobHandle* job : std::exchange(jobs_, {})) {
    std::shared_ptr<Job> membership = std::move(job->job_);
    py::gil_scoped_release released;
    membership.reset();
  }
  std::unique_ptr<Cluster> cluster = std::move(cluster_);
  py::gil_scoped_release released;
  cluster.reset();
}

ClusterHandle::JobHandle::JobHandle(std::shared_ptr<ClusterHandle> cluster,
                                    std::unique_ptr<Job> job)
    : cluster_(std::move(cluster)), job_(std::move(job)) {
  cluster_->jobs_.insert(this);
}

ClusterHandle::JobHandle::~JobHandle() {
  cluster_->jobs_.erase(this);
  if (cluster_->forked()) {  // leaked, as the cluster is
    new std::shared_ptr<Job>(std::move(job_));
    return;
  }
  py::gil_scoped_release released;
  job_.reset();
}

std::shared_ptr<Job> ClusterHandle::JobHandle::job() {
  if (job_ == nullptr) RaiseClosed("this job's cluster");
  return job_;
}

}  // namespace paramo::python
