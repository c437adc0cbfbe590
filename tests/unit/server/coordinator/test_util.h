// What several tests of the coordinator need.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "server/coordinator/table_spec.h"

namespace paramo {

// A directory that goes with the test.
class TempDir {
 public:
  TempDir() {
    char pattern[] = "/tmp/paramo_test.XXXXXX";
    path_ = mkdtemp(pattern);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Two rules: "sgd" with lr in (0, 10] (default 0.5) and no slots, "adagrad"
// with one slot.
inline absl::StatusOr<CheckedRule> CheckTestRule(
    absl::string_view name, const std::map<std::string, double>& params) {
  CheckedRule checked;
  checked.params["lr"] = 0.5;
  if (name == "adagrad") checked.slots = "sum[dim]";
  if (name != "sgd" && name != "adagrad") {
    return absl::InvalidArgumentError("unknown rule");
  }
  for (const auto& [param, value] : params) {
    if (param != "lr" || !(value > 0 && value <= 10)) {
      return absl::InvalidArgumentError("bad param");
    }
    checked.params[param] = value;
  }
  return checked;
}

inline const absl::Status& StatusOf(const absl::Status& s) { return s; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& s) {
  return s.status();
}
template <typename T>
testing::AssertionResult HasCode(absl::StatusCode code, const T& result) {
  const absl::Status& status = StatusOf(result);
  if (status.code() == code) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "wanted " << absl::StatusCodeToString(code) << ", got "
         << status.ToString();
}

}  // namespace paramo

// A Status or StatusOr has that code: EXPECT_CODE(kNotFound, Find("x")).
#define EXPECT_CODE(expected, expr) \
  EXPECT_TRUE(::paramo::HasCode(absl::StatusCode::expected, (expr)))
