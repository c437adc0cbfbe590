// Pushes ones beside a job, and says afterwards whether every push that was
// acknowledged is there once: a row counts the pushes applied to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "paramo/cluster.h"
#include "paramo/table.h"

namespace paramo::cli {

struct Testimony {
  uint64_t acked = 0;          // pushes, each to the same rows on all servers
  uint64_t unknown = 0;        // ended without an answer: there, or not
  uint64_t acked_lost = 0;     // acknowledged pushes that some row lacks
  uint64_t applied_twice = 0;  // pushes that some row has too many of
};

// Threads: its owner's, and one that pushes.
class Witness {
 public:
  // Makes the table `demo.witness`, and begins.
  static absl::StatusOr<std::unique_ptr<Witness>> Start(
      const std::string& address);
  ~Witness();

  // Ends the pushing and reads every row. Errors: the pull's.
  absl::StatusOr<Testimony> Finish();

 private:
  Witness(std::unique_ptr<Cluster> cluster, Table table);
  void Run();
  bool Pause();  // false: stop
  void Stop();

  const std::unique_ptr<Cluster> cluster_;
  const Table table_;
  const std::vector<uint64_t> keys_;
  Testimony seen_;  // the thread's, until it has ended
  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace paramo::cli
