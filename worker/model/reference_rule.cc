#include "worker/model/reference_rule.h"

#include <cmath>

#include "common/base/check.h"

namespace paramo {

const std::vector<RuleSchema>& RuleSchemas() {
  static const auto* const kSchemas = new std::vector<RuleSchema>{
      {"sgd", {{"lr", 0.01, 1e-30, 1e6}}},
      {"momentum", {{"lr", 0.01, 1e-30, 1e6}, {"momentum", 0.9, 0, 0.999999}}},
      {"adagrad", {{"lr", 0.01, 1e-30, 1e6}, {"eps", 1e-10, 1e-30, 1}}},
      {"adam",
       {{"lr", 0.001, 1e-30, 1e6},
        {"beta1", 0.9, 0, 0.999999},
        {"beta2", 0.999, 0, 0.999999},
        {"eps", 1e-8, 1e-30, 1}}}};
  return *kSchemas;
}

const RuleSchema* FindRuleSchema(absl::string_view name) {
  for (const RuleSchema& schema : RuleSchemas()) {
    if (name == schema.name) return &schema;
  }
  return nullptr;
}

ReferenceRule::ReferenceRule(const std::string& rule,
                             const std::map<std::string, double>& parameters,
                             size_t elements)
    : rule_(rule), parameters_(parameters) {
  const RuleSchema* schema = FindRuleSchema(rule);
  PARAMO_CHECK(schema != nullptr);
  for (const RuleSchema::Parameter& parameter : schema->parameters) {
    parameters_.try_emplace(parameter.name, parameter.default_value);
  }
  if (rule != "sgd") first_.resize(elements);
  if (rule == "adam") second_.resize(elements);
  lr_ = Parameter("lr");
  if (rule == "momentum") keep_ = Parameter("momentum");
  if (rule == "adagrad" || rule == "adam") eps_ = Parameter("eps");
}

float ReferenceRule::Parameter(const char* name) const {
  return static_cast<float>(parameters_.at(name));
}

void ReferenceRule::Apply(absl::Span<const float> gradient,
                          absl::Span<float> values) {
  Step(0, ++step_, gradient, values);
}

void ReferenceRule::ApplyRow(size_t row, absl::Span<const float> gradient,
                             absl::Span<float> values) {
  if (row >= row_steps_.size()) row_steps_.resize(row + 1);
  Step(row * values.size(), ++row_steps_[row], gradient, values);
}

// Every fma below is one rounding, where the papers write a product and a sum.
void ReferenceRule::Step(size_t begin, uint32_t step,
                         absl::Span<const float> gradient,
                         absl::Span<float> values) {
  PARAMO_CHECK(gradient.size() == values.size());
  PARAMO_CHECK(rule_ == "sgd" || begin + values.size() <= first_.size());
  const size_t n = values.size();
  float* first = first_.data() + begin;
  if (rule_ == "sgd") {
    for (size_t i = 0; i < n; ++i) {
      values[i] = std::fma(-lr_, gradient[i], values[i]);
    }
  } else if (rule_ == "momentum") {  // Sutskever et al. 2013
    for (size_t i = 0; i < n; ++i) {
      first[i] = std::fma(keep_, first[i], gradient[i]);
      values[i] = std::fma(-lr_, first[i], values[i]);
    }
  } else if (rule_ == "adagrad") {  // Duchi, Hazan, Singer 2011
    for (size_t i = 0; i < n; ++i) {
      first[i] = std::fma(gradient[i], gradient[i], first[i]);
      const float ratio = gradient[i] / (std::sqrt(first[i]) + eps_);
      values[i] = std::fma(-lr_, ratio, values[i]);
    }
  } else {  // adam: Kingma, Ba 2015, Alg. 1
    const double beta1 = parameters_.at("beta1");
    const double beta2 = parameters_.at("beta2");
    const float rate =
        static_cast<float>(parameters_.at("lr") / (1 - std::pow(beta1, step)));
    const float scale = static_cast<float>(1 / (1 - std::pow(beta2, step)));
    const float keep1 = static_cast<float>(beta1);
    const float keep2 = static_cast<float>(beta2);
    const float add1 = static_cast<float>(1 - beta1);
    const float add2 = static_cast<float>(1 - beta2);
    float* second = second_.data() + begin;
    for (size_t i = 0; i < n; ++i) {
      const float g = gradient[i];
      first[i] = std::fma(keep1, first[i], add1 * g);
      second[i] = std::fma(keep2, second[i], add2 * g * g);
      const float root = std::sqrt(second[i] * scale) + eps_;
      values[i] = std::fma(-rate, first[i] / root, values[i]);
    }
  }
}

}  // namespace paramo
