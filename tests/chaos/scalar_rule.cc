#include "tests/chaos/scalar_rule.h"

#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"

namespace paramo::chaos {
namespace {

// Numbers that f32 has to round.
std::map<std::string, double> ParamsOf(const std::string& name) {
  if (name == "adagrad") return {{"lr", 0.1}, {"eps", 1e-7}};
  if (name == "adam") {
    return {{"lr", 0.01}, {"beta1", 0.9}, {"beta2", 0.99}, {"eps", 1e-7}};
  }
  PARAMO_CHECK(name == "sgd");
  return {{"lr", 1}};
}

// Squares and multiplies, from the lowest bit of the exponent up: the order is
// part of the answer.
double Power(double base, uint32_t exponent) {
  double power = 1;
  while (exponent != 0) {
    if (exponent % 2 == 1) power *= base;
    exponent /= 2;
    base *= base;
  }
  return power;
}

}  // namespace

ScalarRule::ScalarRule(std::string name)
    : name_(std::move(name)), params_(ParamsOf(name_)) {}

float ScalarRule::Gradient(uint64_t number) const {
  if (!has_state()) return -1;
  // In [-2, 2], with 24 bits.
  const int64_t bits = static_cast<int64_t>(Mix64(number) >> 40);
  return static_cast<float>(bits - (int64_t{1} << 23)) * 0x1p-22f;
}

void ScalarRule::Apply(float gradient, ScalarRow& row) const {
  ScalarRow next = row;
  if (name_ == "adagrad") {
    Adagrad(gradient, next);
  } else if (name_ == "adam") {
    Adam(gradient, next);
  } else {
    next.value =
        std::fma(-static_cast<float>(params_.at("lr")), gradient, next.value);
  }
  // A step that overflows leaves the row as it is.
  if (std::isfinite(next.value) && std::isfinite(next.mean) &&
      std::isfinite(next.square)) {
    row = next;
  }
}

void ScalarRule::Adagrad(float gradient, ScalarRow& row) const {
  const float lr = static_cast<float>(params_.at("lr"));
  const float eps = static_cast<float>(params_.at("eps"));
  row.square = std::fma(gradient, gradient, row.square);
  row.value =
      std::fma(-lr, gradient / (std::sqrt(row.square) + eps), row.value);
}

// Constants in f64, rounded once; everything else in f32.
void ScalarRule::Adam(float gradient, ScalarRow& row) const {
  const double beta1 = params_.at("beta1");
  const double beta2 = params_.at("beta2");
  ++row.step;
  const float rate =
      static_cast<float>(params_.at("lr") / (1 - Power(beta1, row.step)));
  const float scale = static_cast<float>(1 / (1 - Power(beta2, row.step)));
  const float rest1 = static_cast<float>(1 - beta1);
  const float rest2 = static_cast<float>(1 - beta2);
  row.mean = std::fma(static_cast<float>(beta1), row.mean, rest1 * gradient);
  row.square = std::fma(static_cast<float>(beta2), row.square,
                        rest2 * gradient * gradient);
  const float root =
      std::sqrt(row.square * scale) + static_cast<float>(params_.at("eps"));
  row.value = std::fma(-rate, row.mean / root, row.value);
}

}  // namespace paramo::chaos
