// Update rules: the arithmetic that turns a row and a gradient into a row.
// Step 6 of the data path. One file per rule; rule.cc lists them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {

// A hyper-parameter. Accepted: min <= value <= max, or value < max where
// `below_max`; never NaN. Rules compute in f32, so a value that only rounding
// to f32 would bring to an excluded bound is refused too.
struct RuleParam {
  std::string name;
  double default_value = 0;
  double min = 0;
  double max = 0;
  bool below_max = false;
  std::string help;
};

// What a rule keeps of a row's past, behind the value: f32 that start at 0,
// one per element or one per row.
struct RuleSlot {
  std::string name;
  bool per_row = false;
};

struct RuleInfo {
  std::string name;
  std::string help;  // the formula
  // In the order of the record; those per row come last.
  std::vector<RuleSlot> slots;
  std::vector<RuleParam> params;

  // Floats of all slots of a row.
  size_t SlotFloats(uint32_t dim) const;
  // "mean[dim], mean_square[dim]", or "none". Rules of equal text can take
  // over each other's rows.
  std::string SlotsText() const;
};

// Rows to update and their gradients.
//
// Shapes: rows [n] whole records (header, value [dim] f32, slots
//         [SlotFloats(dim)] f32), 8-byte aligned, no row twice; grads [n][dim]
//         f32 at any alignment.
// Units:  lr_scale multiplies the rule's learning rate, in f64, before it is
//         rounded to f32; 0 to 1.
struct RuleBatch {
  uint32_t dim = 0;
  std::byte* const* rows = nullptr;
  const float* const* grads = nullptr;
  size_t n = 0;
  double lr_scale = 1;
  // Optional, [n]: set to true for each row left unchanged; others untouched.
  bool* skipped = nullptr;
};

// Stateless over (row, slots, gradient): all memory of past gradients lies in
// the row. Replicas must agree bit for bit, so every operation is an IEEE 754
// one in a stated order (fused multiply-adds are explicit), and vector code
// gives the bits of its scalar twin.
//
// Effects: a row whose value or slots would become NaN or infinite (always so
//          when its gradient is) is left exactly as it was and counted.
//          Touches value, slots and the header's `step`, nothing else.
// Threads: any; const.
class Rule {
 public:
  virtual ~Rule() = default;
  virtual const RuleInfo& info() const = 0;

  // Updates the rows and returns how many were left unchanged.
  // Cost: one pass over row and gradient; rows ahead are prefetched.
  virtual uint32_t Apply(const RuleBatch& batch) const = 0;

  // The scalar twin: defines what Apply must compute.
  virtual uint32_t ApplyScalar(const RuleBatch& batch) const = 0;

  // Apply as a machine with vectors of `lanes` floats runs it: 1, 4 or 8, the
  // last only as far as this machine's are that wide. The same bits.
  virtual uint32_t ApplyAtWidth(const RuleBatch& batch,
                                uint32_t lanes) const = 0;
};

// Makes the rule `name`; parameters left out take their defaults.
//
// Errors: INVALID_ARGUMENT  unknown rule or parameter, value NaN or outside
//                           its range; the text names what would be accepted
absl::StatusOr<std::unique_ptr<Rule>> MakeRule(
    absl::string_view name, const std::map<std::string, double>& params);

// Every rule, in order of name.
std::vector<RuleInfo> ListRules();

}  // namespace paramo
