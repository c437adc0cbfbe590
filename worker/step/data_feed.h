// Brings batches to the training loop ahead of time.
//
//   coordinator --leases--> [lease thread] --> [reader thread] --> Next()
//        ^                        |                                  |
//        +------ positions -------+<---- Acknowledged(batch) <-- push's answer
//
// Two threads, because a lease call may wait for a coordinator that is down
// while there is still leased data to read.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/clock/clock.h"
#include "worker/data/batch_plan.h"
#include "worker/data/dataset.h"

namespace paramo {

// A part of the job's data that this worker is to read, from batch
// `batches_done` on; and, the other way, how far it has come.
struct DataLease {
  uint64_t data_shard = 0;
  uint32_t batches_done = 0;  // whose pushes are acknowledged
  bool finished = false;
};

struct LeaseAnswer {
  std::vector<DataLease> leases;  // new ones
  bool exhausted = false;         // others hold nothing that may come back
  absl::Duration retry_after;     // when there is neither
};

// Life: made by the training loop, which calls Next and Acknowledged; the
// destructor stops and joins both threads, after a lease call in progress.
// Threads: Next and Acknowledged from one.
class DataFeed {
 public:
  // Reports where the leases held stand and asks for new ones, so that `want`
  // are held in all. UNAVAILABLE and DEADLINE_EXCEEDED are tried again for as
  // long as it takes; other errors end the feed.
  using LeaseCall = std::function<absl::StatusOr<LeaseAnswer>(
      const std::vector<DataLease>& held, uint32_t want)>;

  enum class State {
    kBatch,    // here is one
    kUnacked,  // everything was read; waits for Acknowledged() of the rest
    kIdle,     // other workers hold all that is left; it may come back
    kEnd,      // all data of the job is read and acknowledged
    kNotYet,   // `patience` is over
  };
  struct Item {
    BatchId id;
    Batch batch;
  };

  DataFeed(const Dataset& dataset, const BatchPlan& plan, LeaseCall lease);
  ~DataFeed();
  DataFeed(const DataFeed&) = delete;
  DataFeed& operator=(const DataFeed&) = delete;

  // The next batch in lease order; its buffers replace those of `item`, which
  // are used again. kIdle is answered only by what the coordinator said after
  // it knew all that was acknowledged.
  // Errors: of the lease call, of the data set.
  absl::StatusOr<State> Next(absl::Duration patience, Item& item);

  // The push of this batch is acknowledged. In the order of Next().
  void Acknowledged(BatchId id);

 private:
  struct Held {
    uint64_t data_shard;
    uint32_t batches;  // in all
    uint32_t read;     // enqueued for Next()
    uint32_t acknowledged;
  };

  void LeaseLoop();
  void WaitUntilDue(absl::Duration pause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReadLoop();
  bool LeaseDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t Want() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status TakeAnswer(const std::vector<DataLease>& reported,
                          const LeaseAnswer& answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Held* FirstUnread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t UnreadCount() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Fail(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Fixed at construction.
  const BatchPlan plan_;
  const LeaseCall lease_;
  const SteadyClock clock_;
  BatchReader reader_;  // the reader thread's

  Mutex mu_;
  CondVar changed_;
  std::deque<Held> held_ ABSL_GUARDED_BY(mu_);   // in lease order
  std::deque<Item> ready_ ABSL_GUARDED_BY(mu_);  // at most kBatchesAhead
  std::vector<Batch> spare_ ABSL_GUARDED_BY(mu_);
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  bool exhausted_ ABSL_GUARDED_BY(mu_) = false;  // ask for no more leases
  bool idle_ ABSL_GUARDED_BY(mu_) = false;  // held nothing, was given nothing
  bool unreported_ ABSL_GUARDED_BY(mu_) = true;  // news for the coordinator
  bool stop_ ABSL_GUARDED_BY(mu_) = false;

  std::thread lease_thread_;
  std::thread read_thread_;
};

}  // namespace paramo
