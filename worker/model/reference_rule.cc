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
}

float ReferenceRule::Parameter(const char* name) const {
  return static_cast<float>(parameters_.at(name));
}

// Every fma below is one rounding, where the papers write a product and a sum.
void ReferenceRule::Apply(absl::Span<const float> gradient,
                          absl::Span<float> values) {
  PARAMO_CHECK(gradient.size() == values.size());
  const size_t n = values.size();
  const float lr = Parameter("lr");
  ++step_;
  if (rule_ == "sgd") {
    for (size_t i = 0; i < n; ++i) {
      values[i] = std::fma(-lr, gradient[i], values[i]);
    }
  } else if (rule_ == "momentum") {  // Sutskever et al. 2013
    const float keep = Parameter("momentum");
    for (size_t i = 0; i < n; ++i) {
      first_[i] = std::fma(keep, first_[i], gradient[i]);
      values[i] = std::fma(-lr, first_[i], values[i]);
    }
  } else if (rule_ == "adagrad") {  // Duchi, Hazan, Singer 2011
    const float eps = Parameter("eps");
    for (size_t i = 0; i < n; ++i) {
      first_[i] = std::fma(gradient[i], gradient[i], first_[i]);
      const float step = gradient[i] / (std::sqrt(first_[i]) + eps);
      values[i] = std::fma(-lr, step, values[i]);
    }
  } else {  // adam: Kingma, Ba 2015, Alg. 1
    const double beta1 = parameters_.at("beta1");
    const double beta2 = parameters_.at("beta2");
    const float rate =
        static_cast<float>(parameters_.at("lr") / (1 - std::pow(beta1, step_)));
    const float scale = static_cast<float>(1 / (1 - std::pow(beta2, step_)));
    const float keep1 = static_cast<float>(beta1);
    const float keep2 = static_cast<float>(beta2);
    const float add1 = static_cast<float>(1 - beta1);
    const float add2 = static_cast<float>(1 - beta2);
    const float eps = Parameter("eps");
    for (size_t i = 0; i < n; ++i) {
      const float g = gradient[i];
      first_[i] = std::fma(keep1, first_[i], add1 * g);
      second_[i] = std::fma(keep2, second_[i], add2 * g * g);
      const float root = std::sqrt(second_[i] * scale) + eps;
      values[i] = std::fma(-rate, first_[i] / root, values[i]);
    }
  }
}

}  // namespace paramo
