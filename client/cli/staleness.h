// How far behind the pushes of a job are: what every server has counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"

namespace paramo::client {
class Control;
}
namespace paramo::v1 {
class StatsReply;
}

namespace paramo::cli {

// Pushes that end a step, by the clocks that they are behind: the fastest
// worker under async and ssp, the open round in jobs with rounds. Groups as
// the servers count them: 0, 1, 2-3, 4-7 and so on.
class Staleness {
 public:
  // Adds what one server has counted of a job since the server started.
  void Add(const v1::StatsReply& stats, const std::string& job);

  bool empty() const { return pushes_ == 0; }
  std::string Text() const;  // "0: 61 %  1: 30 %  2-3: 9 %"
  std::string Json() const;  // {"0": 0.61, "1": 0.3, "2-3": 0.09}

 private:
  double ShareOf(uint64_t pushes) const;

  std::map<uint64_t, uint64_t> counts_;  // by a group's highest value
  uint64_t pushes_ = 0;
};

// Of all servers that answer within `timeout`; empty when none does.
Staleness AskStaleness(client::Control& control, const std::string& job,
                       absl::Duration timeout);

}  // namespace paramo::cli
