// FTRL-Proximal: McMahan et al. 2013, Alg. 1, for sparse linear models: l1
// makes values exactly 0.
//   sigma = (sqrt(n + g^2) - sqrt(n)) / lr
//   n' = n + g^2
//   z' = z + lr_scale g - sigma w
//   w' = 0 where |z'| <= l1
//        -(z' - sign(z') l1) / ((beta + sqrt(n')) / lr + l2) elsewhere
//
// After its first push a value is a function of z and n alone. An initial value
// other than 0 counts once, as the w of the first sigma; start from zeros.
//
// Deviation: a schedule scales the gradient's share of z, not lr itself. Since
// w rests on the sum of all sigma being 1 / rate, a smaller lr would pull every
// value towards 0; so scaled, a step moves w by lr_scale times as much, and by
// nothing at 0, as with every other rule.
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct Ftrl {
  static constexpr uint32_t kSlots = 2;  // z, n
  static constexpr bool kCountsSteps = false;

  struct Step {
    float inverse_lr;
    float beta;
    float l1;
    float l2;
    float lr_scale;

    void Scalar(float grad, float* state) const {
      const float n = std::fma(grad, grad, state[2]);
      const float root = std::sqrt(n);
      const float sigma = (root - std::sqrt(state[2])) * inverse_lr;
      const float moved = std::fma(lr_scale, grad, state[1]);
      const float z = std::fma(-sigma, state[0], moved);
      const float slope = std::fma(beta + root, inverse_lr, l2);
      const float shrunk = std::copysign(l1, z) - z;
      state[0] = std::fabs(z) <= l1 ? 0 : shrunk / slope;
      state[1] = z;
      state[2] = n;
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      const V n = hn::MulAdd(grad, grad, state[2]);
      const V root = hn::Sqrt(n);
      const V inverse = hn::Set(d, inverse_lr);
      const V sigma = hn::Mul(hn::Sub(root, hn::Sqrt(state[2])), inverse);
      const V moved = hn::MulAdd(hn::Set(d, lr_scale), grad, state[1]);
      const V z = hn::NegMulAdd(sigma, state[0], moved);
      const V slope =
          hn::MulAdd(hn::Add(hn::Set(d, beta), root), inverse, hn::Set(d, l2));
      const V bound = hn::Set(d, l1);
      const V shrunk = hn::Sub(hn::CopySign(bound, z), z);
      state[0] =
          hn::IfThenZeroElse(hn::Le(hn::Abs(z), bound), hn::Div(shrunk, slope));
      state[1] = z;
      state[2] = n;
    }
  };

  double lr;
  double beta;
  double l1;
  double l2;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.inverse_lr = static_cast<float>(1 / lr),
            .beta = static_cast<float>(beta),
            .l1 = static_cast<float>(l1),
            .l2 = static_cast<float>(l2),
            .lr_scale = static_cast<float>(lr_scale)};
  }
};

RuleParam Penalty(const char* name, double default_value, const char* help) {
  return {.name = name,
          .default_value = default_value,
          .min = 0,
          .max = 1e6,
          .help = help};
}

}  // namespace

RuleEntry FtrlEntry() {
  RuleInfo info{
      .name = "ftrl",
      .help =
          "sigma = (sqrt(n + g^2) - sqrt(n)) / lr; n' = n + g^2; "
          "z' = z + g - sigma w; w' = 0 where |z'| <= l1, else "
          "-(z' - sign(z') l1) / ((beta + sqrt(n')) / lr + l2)",
      .slots = {{"z"}, {"n"}},
      .params = {{.name = "lr",
                  .default_value = 0.1,
                  .min = 1e-6,
                  .max = 1e6,
                  .help = "alpha of the paper; it is divided by, so not 0"},
                 Penalty("beta", 1, "added to the root; bounds early steps"),
                 Penalty("l1", 0, "values of less evidence are exactly 0"),
                 Penalty("l2", 0, "pull towards 0")}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const Ftrl ftrl{.lr = values.at("lr"),
                            .beta = values.at("beta"),
                            .l1 = values.at("l1"),
                            .l2 = values.at("l2")};
            return std::make_unique<ElementwiseRule<Ftrl>>(info, ftrl);
          }};
}

}  // namespace paramo
