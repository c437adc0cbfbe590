#include "server/coordinator/barrier.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"

namespace paramo {

void Barriers::Arrive(WorkerId worker, const std::string& name,
                      absl::Duration deadline, Done done,
                      std::vector<Answer>& answers) {
  if (std::find(passed_.begin(), passed_.end(), name) != passed_.end()) {
    answers.push_back({std::move(done), absl::OkStatus()});
    return;
  }
  if (open_.count(name) == 0 && open_.size() >= kBarriersOpenMax) {
    answers.push_back(
        {std::move(done),
         absl::ResourceExhaustedError(absl::StrCat(
             "workers already wait at ", kBarriersOpenMax, " barriers"))});
    return;
  }
  Arrivals& arrivals = open_[name];
  auto earlier = arrivals.find(worker);
  if (earlier != arrivals.end()) {
    answers.push_back({std::move(earlier->second.done),
                       absl::AbortedError("the same worker asked again")});
  }
  arrivals[worker] = {deadline, std::move(done)};
}

void Barriers::Leave(WorkerId worker, const absl::Status& status,
                     std::vector<Answer>& answers) {
  for (auto& [name, arrivals] : open_) {
    auto arrival = arrivals.find(worker);
    if (arrival == arrivals.end()) continue;
    answers.push_back({std::move(arrival->second.done), status});
    arrivals.erase(arrival);
  }
}

void Barriers::Close(const absl::Status& status, std::vector<Answer>& answers) {
  for (auto& [name, arrivals] : open_) {
    for (auto& [worker, arrival] : arrivals) {
      answers.push_back({std::move(arrival.done), status});
    }
  }
  open_.clear();
}

bool Barriers::Settle(const std::set<WorkerId>& live, bool everybody_joined,
                      absl::Duration now, std::vector<Answer>& answers) {
  bool passed_any = false;
  for (auto it = open_.begin(); it != open_.end();) {
    Arrivals& arrivals = it->second;
    std::vector<WorkerId> missing;
    for (WorkerId worker : live) {
      if (arrivals.count(worker) == 0) missing.push_back(worker);
    }
    bool passed = missing.empty() && everybody_joined && !arrivals.empty();
    for (auto arrival = arrivals.begin(); arrival != arrivals.end();) {
      bool late = arrival->second.deadline <= now;
      if (!passed && !late) {
        ++arrival;
        continue;
      }
      absl::Status status;
      if (!passed) {
        status = absl::DeadlineExceededError(absl::StrCat(
            "barrier ", it->first, " still misses ",
            missing.empty()
                ? "workers that have not joined"
                : absl::StrCat("rank ", absl::StrJoin(missing, ", "))));
      }
      answers.push_back({std::move(arrival->second.done), std::move(status)});
      arrival = arrivals.erase(arrival);
    }
    if (passed) {
      passed_any = true;
      passed_.push_back(it->first);
      if (passed_.size() > kBarriersPassedMax) passed_.pop_front();
    }
    it = arrivals.empty() ? open_.erase(it) : std::next(it);
  }
  return passed_any;
}

}  // namespace paramo
