// Table specs as they are typed: --rule adagrad --param lr=0.05 ...
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/gradient_spec.h"

namespace paramo::v1 {
class TableSpec;
class UpdateRule;
class Initializer;
class NonFinite;
}  // namespace paramo::v1

namespace paramo::cli {

struct TableFlags {
  std::string name;
  uint32_t dim = 0;  // 0: not given
  std::string rule = "sgd";
  std::vector<std::string> params;    // "lr=0.05"
  std::string init = "zeros";         // "uniform:0.01", "xavier:784,256"
  std::string tensor;                 // "784,256"; empty: sparse
  uint32_t block = 0;                 // 0: 1024, or the tensor if that is less
  std::string non_finite = "reject";  // "skip", "clip:10"
  int64_t seed = 0;
  std::string durability = "logged";  // "replicated", "synced"
  uint64_t memory_budget = 0;         // bytes; 0: none
  std::string codec = "f32";
  GradientFlags gradients;
};

// What --codec takes.
std::vector<std::string> CodecNames();

// All: INVALID_ARGUMENT naming the flag, the form expected and an example.
absl::Status ReadParams(const std::vector<std::string>& params,
                        v1::UpdateRule& rule);
absl::Status ReadInitializer(const std::string& text,
                             v1::Initializer& initializer);
absl::Status ReadNonFinite(const std::string& text, v1::NonFinite& policy);
absl::Status ReadTableSpec(const TableFlags& flags, v1::TableSpec& spec);

}  // namespace paramo::cli
