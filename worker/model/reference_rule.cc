// Every fma below is one rounding, where the papers write a product and a sum.
#include "worker/model/reference_rule.h"

#include <cmath>

#include "common/base/check.h"
#include "worker/model/rule_schema.h"

namespace paramo {

struct ReferenceRule::RowStep {
  const Parameters& parameters;
  double factor;   // on lr
  uint32_t count;  // of the row's steps, with this one
  size_t dim;      // of the table
  absl::Span<const float> g;
  absl::Span<float> w;
  float* first;
  float* second;

  double At(const char* name) const { return parameters.at(name); }
  float Float(const char* name) const { return static_cast<float>(At(name)); }
  double scaled_lr() const { return At("lr") * factor; }
  float lr() const { return static_cast<float>(scaled_lr()); }
};

void ReferenceRule::Sgd(const RowStep& s) {
  const float lr = s.lr();
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.w[i] = std::fma(-lr, s.g[i], s.w[i]);
  }
}

// Sutskever et al. 2013, lr outside the velocity.
void ReferenceRule::Momentum(const RowStep& s) {
  const float lr = s.lr(), keep = s.Float("momentum");
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.first[i] = std::fma(keep, s.first[i], s.g[i]);
    s.w[i] = std::fma(-lr, s.first[i], s.w[i]);
  }
}

// Bengio et al. 2013: the step that momentum would make after the next one.
void ReferenceRule::Nesterov(const RowStep& s) {
  const float lr = s.lr(), keep = s.Float("momentum");
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.first[i] = std::fma(keep, s.first[i], s.g[i]);
    s.w[i] = std::fma(-lr, std::fma(keep, s.first[i], s.g[i]), s.w[i]);
  }
}

// Duchi, Hazan, Singer 2011.
void ReferenceRule::Adagrad(const RowStep& s) {
  const float lr = s.lr(), eps = s.Float("eps");
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.first[i] = std::fma(s.g[i], s.g[i], s.first[i]);
    const float ratio = s.g[i] / (std::sqrt(s.first[i]) + eps);
    s.w[i] = std::fma(-lr, ratio, s.w[i]);
  }
}

// Mudigere et al. 2021: one accumulator for the whole row.
void ReferenceRule::RowwiseAdagrad(const RowStep& s) {
  const double mean = SumOfSquares(s.g) / static_cast<double>(s.dim);
  s.first[0] += static_cast<float>(mean);
  const float inverse = 1 / (std::sqrt(s.first[0]) + s.Float("eps"));
  const float lr = s.lr();
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.w[i] = std::fma(-lr, s.g[i] * inverse, s.w[i]);
  }
}

// Tieleman, Hinton 2012.
void ReferenceRule::Rmsprop(const RowStep& s) {
  const float lr = s.lr(), eps = s.Float("eps"), keep = s.Float("rho");
  const auto add = static_cast<float>(1 - s.At("rho"));
  for (size_t i = 0; i < s.w.size(); ++i) {
    s.first[i] = std::fma(keep, s.first[i], add * s.g[i] * s.g[i]);
    const float ratio = s.g[i] / (std::sqrt(s.first[i]) + eps);
    s.w[i] = std::fma(-lr, ratio, s.w[i]);
  }
}

// Kingma, Ba 2015, Alg. 1; with decay Loshchilov, Hutter 2019, Alg. 2.
void ReferenceRule::Adam(const RowStep& s) {
  const double beta1 = s.At("beta1"), beta2 = s.At("beta2");
  const auto rate =
      static_cast<float>(s.scaled_lr() / (1 - std::pow(beta1, s.count)));
  const auto scale = static_cast<float>(1 / (1 - std::pow(beta2, s.count)));
  const auto keep1 = static_cast<float>(beta1);
  const auto keep2 = static_cast<float>(beta2);
  const auto add1 = static_cast<float>(1 - beta1);
  const auto add2 = static_cast<float>(1 - beta2);
  const float eps = s.Float("eps");
  const auto decay = s.parameters.find("weight_decay");
  const bool decays = decay != s.parameters.end();
  const auto left =
      decays ? static_cast<float>(1 - s.scaled_lr() * decay->second) : 1.0f;
  for (size_t i = 0; i < s.w.size(); ++i) {
    const float g = s.g[i];
    s.first[i] = std::fma(keep1, s.first[i], add1 * g);
    s.second[i] = std::fma(keep2, s.second[i], add2 * g * g);
    const float root = std::sqrt(s.second[i] * scale) + eps;
    s.w[i] = std::fma(-rate, s.first[i] / root, left * s.w[i]);
  }
}

// McMahan et al. 2013, Alg. 1: first is z, second is n. The factor scales the
// gradient in z (docs/rules.md).
void ReferenceRule::Ftrl(const RowStep& s) {
  const auto inverse = static_cast<float>(1 / s.At("lr"));
  const auto factor = static_cast<float>(s.factor);
  const float beta = s.Float("beta"), l1 = s.Float("l1"), l2 = s.Float("l2");
  for (size_t i = 0; i < s.w.size(); ++i) {
    const float n = std::fma(s.g[i], s.g[i], s.second[i]);
    const float sigma = (std::sqrt(n) - std::sqrt(s.second[i])) * inverse;
    s.second[i] = n;
    const float z =
        std::fma(-sigma, s.w[i], std::fma(factor, s.g[i], s.first[i]));
    s.first[i] = z;
    const float slope = std::fma(beta + std::sqrt(n), inverse, l2);
    s.w[i] = std::fabs(z) <= l1 ? 0 : -(z - std::copysign(l1, z)) / slope;
  }
}

ReferenceRule::Step ReferenceRule::StepOf(const std::string& rule) {
  PARAMO_CHECK(FindRuleSchema(rule) != nullptr);
  static const auto* const kSteps =
      new std::map<std::string, Step>{{"adagrad", &Adagrad},
                                      {"adam", &Adam},
                                      {"adamw", &Adam},
                                      {"ftrl", &Ftrl},
                                      {"momentum", &Momentum},
                                      {"nesterov", &Nesterov},
                                      {"rmsprop", &Rmsprop},
                                      {"rowwise_adagrad", &RowwiseAdagrad},
                                      {"sgd", &Sgd}};
  return kSteps->at(rule);
}

ReferenceRule::ReferenceRule(const std::string& rule,
                             const Parameters& parameters, size_t rows,
                             size_t dim)
    : step_(StepOf(rule)), dim_(dim), parameters_(parameters), steps_(rows) {
  for (const auto& parameter : FindRuleSchema(rule)->parameters) {
    parameters_.try_emplace(parameter.name, parameter.default_value);
  }
  if (step_ != &Sgd) first_.resize(rows * dim);
  if (step_ == &Adam || step_ == &Ftrl) second_.resize(rows * dim);
}

void ReferenceRule::Apply(size_t row, absl::Span<const float> gradient,
                          absl::Span<float> values, double factor) {
  PARAMO_CHECK(row < steps_.size() && gradient.size() <= dim_ &&
               gradient.size() == values.size());
  auto memory = [&](std::vector<float>& of) {
    return of.empty() ? nullptr : &of[row * dim_];
  };
  step_({parameters_, factor, ++steps_[row], dim_, gradient, values,
         memory(first_), memory(second_)});
}

double SumOfSquares(absl::Span<const float> values) {
  double part[8] = {};
  for (size_t i = 0; i < values.size(); ++i) {
    part[i % 8] += static_cast<double>(values[i]) * values[i];
  }
  return ((part[0] + part[1]) + (part[2] + part[3])) +
         ((part[4] + part[5]) + (part[6] + part[7]));
}

}  // namespace paramo
