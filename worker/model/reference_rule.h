// The update rules once more, for the reference run: plain scalar loops,
// written from the papers and docs/rules.md and not from the servers' code, so
// that the comparison of both means something.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace paramo {

// One table's optimizer: the rule, and its memory of past gradients by row.
class ReferenceRule {
 public:
  using Parameters = std::map<std::string, double>;

  // `rule` is one of RuleSchemas(); parameters left out take their defaults.
  ReferenceRule(const std::string& rule, const Parameters& parameters,
                size_t rows, size_t dim);

  // One step of row `row` with lr x `factor`; adam counts the steps of a row.
  // Shapes: gradient and values [n], n at most dim: the elements of a last row
  //         that are beyond its tensor are left out, and count as 0.
  void Apply(size_t row, absl::Span<const float> gradient,
             absl::Span<float> values, double factor = 1);

 private:
  // What one step of one row works on, and the step itself.
  struct RowStep;
  using Step = void (*)(const RowStep&);

  static void Sgd(const RowStep& s);
  static void Momentum(const RowStep& s);
  static void Nesterov(const RowStep& s);
  static void Adagrad(const RowStep& s);
  static void RowwiseAdagrad(const RowStep& s);
  static void Rmsprop(const RowStep& s);
  static void Adam(const RowStep& s);
  static void Ftrl(const RowStep& s);
  static Step StepOf(const std::string& rule);

  const Step step_;
  const size_t dim_;
  Parameters parameters_;
  std::vector<float> first_;   // [rows, dim]: velocity, sum of squares, mean, z
  std::vector<float> second_;  // [rows, dim]: adam's mean square, ftrl's n
  std::vector<uint32_t> steps_;  // of each row
};

// In f64 and in the order of docs/rules.md, "Order of sums".
double SumOfSquares(absl::Span<const float> values);

}  // namespace paramo
