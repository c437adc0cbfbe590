// What `paramo doctor` finds, one line per check.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/etcd/security.h"

namespace paramo::cli {

enum class Verdict { kGood, kCare, kBad };

struct Finding {
  std::string what;
  Verdict verdict;
  std::string found;
  std::string advice;  // empty when good
};

// One line per member of an etcd cluster: version, who leads, size, alarms;
// where there is a user, its password is tried. Empty when `endpoints` is;
// waits up to `timeout` for each.
std::vector<Finding> AskEtcd(const std::vector<std::string>& endpoints,
                             const EtcdSecurity& security,
                             absl::Duration timeout);

}  // namespace paramo::cli
