// The barriers of one job. A pure state machine; who waits is a callback.
//
// A name is used once: a barrier that has been passed stays open, so that a
// worker whose answer was lost can ask again without the others.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/ids.h"

namespace paramo {

class Barriers {
 public:
  using Done = std::function<void(const absl::Status&)>;
  // What became of an arrival, to be told once the step is durable.
  struct Answer {
    Done done;
    absl::Status status;
  };

  // `worker` has come to `name` and waits until `deadline` at most. A second
  // arrival of the same worker replaces the first (which is ABORTED).
  // Errors (to `done`): RESOURCE_EXHAUSTED  kBarriersOpenMax
  void Arrive(WorkerId worker, const std::string& name, absl::Duration deadline,
              Done done, std::vector<Answer>& answers);

  // The worker is gone: nobody waits for it, and it gets `status`.
  void Leave(WorkerId worker, const absl::Status& status,
             std::vector<Answer>& answers);

  // Opens every barrier at which all of `live` are, and gives up on arrivals
  // past their deadline (DEADLINE_EXCEEDED, naming who is missing). Returns
  // whether a barrier was passed.
  bool Settle(const std::set<WorkerId>& live, bool everybody_joined,
              absl::Duration now, std::vector<Answer>& answers);

  // Everybody who waits gets `status`.
  void Close(const absl::Status& status, std::vector<Answer>& answers);

  // Names passed, oldest first; for the store.
  const std::deque<std::string>& passed() const { return passed_; }
  void LoadPassed(const std::string& name) { passed_.push_back(name); }

 private:
  struct Arrival {
    absl::Duration deadline;
    Done done;
  };
  using Arrivals = std::map<WorkerId, Arrival>;

  std::map<std::string, Arrivals> open_;
  std::deque<std::string> passed_;  // newest kBarriersPassedMax
};

}  // namespace paramo
