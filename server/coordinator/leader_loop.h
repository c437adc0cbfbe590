// The thread of one of several coordinators: campaigns, leads while it can,
// and else follows whoever does.
//
//              +--------> campaign --lost--> follow: watch `leader` --+
//              |             | won                  it is gone        |
//              |             v                                        |
//              |   begin(fence): load the store                       |
//              |             v                                        |
//              |   lead: renew, watch `leader`, compact               |
//              |             | deadline, store failed, key touched    |
//              |             v                                        |
//              +--- end(): drop everything; resign <------------------+
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "server/coordinator/election.h"

namespace paramo {

// Called on the loop's thread, one at a time.
struct LeaderHooks {
  // Takes office: reads the store. An error ends the term before it began.
  std::function<absl::Status(const StoreFence& fence)> begin;
  std::function<void()> end;  // after a begin that went well
  std::function<void(const std::string& leader)> follow;  // "" = nobody
};

struct LeaderLoopOptions {
  ElectionOptions election;
  // The store keeps so much history for watches; zero: somebody else compacts.
  absl::Duration history = absl::Minutes(5);
};

// Life: Start starts the thread; Stop (or the destructor) ends the term and
// resigns. Threads: any.
class LeaderLoop {
 public:
  // `kv` and `clock` outlive it.
  LeaderLoop(KvStore& kv, const Clock& clock, LeaderLoopOptions options,
             LeaderHooks hooks);
  ~LeaderLoop();

  void Start();

  // The present term cannot go on.
  void FailTerm();

  void Stop();

 private:
  void Run();
  void Lead();
  void Follow();
  // Renews and watches until the term is over; says why.
  absl::Status Hold(int64_t from_revision);
  absl::Status CheckKey(KvWatch& watch);
  absl::StatusOr<int64_t> RangeAgain();
  void CompactSometimes();
  // What failed, once for as long as it stays the same.
  void Report(const absl::Status& status);
  bool Wait(absl::Duration time);  // false: stop
  bool stopping();

  KvStore& kv_;
  const Clock& clock_;
  const LeaderLoopOptions options_;
  const LeaderHooks hooks_;
  Election election_;

  // Of the thread alone.
  std::string reported_;
  absl::Duration compact_at_ = absl::ZeroDuration();
  int64_t compact_revision_ = 0;

  Mutex mu_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool term_failed_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // last: uses all of the above
};

}  // namespace paramo
