// Adam: Kingma and Ba 2015, Alg. 1, with t counted per row: a sparse row's
// bias correction depends on its own updates, not on the job's clock.
//   m' = beta1 m + (1 - beta1) g
//   v' = beta2 v + (1 - beta2) g^2
//   w' = w - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + eps)
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

// base^exponent by squaring, in a fixed order of correctly rounded
// multiplications: libm's pow may differ between versions, this cannot.
double Power(double base, uint32_t exponent) {
  double power = 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power *= base;
    base *= base;
  }
  return power;
}

struct Adam {
  static constexpr uint32_t kSlots = 2;  // m, v
  static constexpr bool kCountsSteps = true;

  struct Step {
    float beta1;
    float beta2;
    float rest1;  // 1 - beta1
    float rest2;  // 1 - beta2
    float eps;
    float rate;   // lr / (1 - beta1^t)
    float scale;  // 1 / (1 - beta2^t)

    void Scalar(float grad, float* state) const {
      const float m = std::fma(beta1, state[1], rest1 * grad);
      const float v = std::fma(beta2, state[2], rest2 * grad * grad);
      const float direction = m / (std::sqrt(v * scale) + eps);
      state[0] = std::fma(-rate, direction, state[0]);
      state[1] = m;
      state[2] = v;
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      const V g1 = hn::Mul(hn::Set(d, rest1), grad);
      const V g2 = hn::Mul(hn::Mul(hn::Set(d, rest2), grad), grad);
      const V m = hn::MulAdd(hn::Set(d, beta1), state[1], g1);
      const V v = hn::MulAdd(hn::Set(d, beta2), state[2], g2);
      const V root = hn::Sqrt(hn::Mul(v, hn::Set(d, scale)));
      const V direction = hn::Div(m, hn::Add(root, hn::Set(d, eps)));
      state[0] = hn::NegMulAdd(hn::Set(d, rate), direction, state[0]);
      state[1] = m;
      state[2] = v;
    }
  };

  double lr;
  double beta1;
  double beta2;
  double eps;

  // Constants are computed in f64 and rounded once.
  Step AtStep(uint32_t t) const {
    return {.beta1 = static_cast<float>(beta1),
            .beta2 = static_cast<float>(beta2),
            .rest1 = static_cast<float>(1 - beta1),
            .rest2 = static_cast<float>(1 - beta2),
            .eps = static_cast<float>(eps),
            .rate = static_cast<float>(lr / (1 - Power(beta1, t))),
            .scale = static_cast<float>(1 / (1 - Power(beta2, t)))};
  }
};

RuleParam Beta(const char* name, double default_value, const char* help) {
  return {.name = name,
          .default_value = default_value,
          .min = 0,
          .max = 1,
          .below_max = true,
          .help = help};
}

}  // namespace

RuleEntry AdamEntry() {
  RuleInfo info{
      .name = "adam",
      .help =
          "m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2; "
          "w' = w - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + "
          "eps); t counts the row's steps",
      .slots = Adam::kSlots,
      .params = {LearningRate(0.001),
                 Beta("beta1", 0.9, "share of the mean that is kept"),
                 Beta("beta2", 0.999, "share of the mean square that is kept"),
                 {.name = "eps",
                  .default_value = 1e-8,
                  .min = 1e-30,
                  .max = 1,
                  .help = "added to the root"}}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const Adam adam{.lr = values.at("lr"),
                            .beta1 = values.at("beta1"),
                            .beta2 = values.at("beta2"),
                            .eps = values.at("eps")};
            return std::make_unique<ElementwiseRule<Adam>>(info, adam);
          }};
}

}  // namespace paramo
