// RMSProp: Tieleman and Hinton 2012, lecture 6.5. Epsilon is outside the root,
// as in PyTorch.
//   s' = rho s + (1 - rho) g^2
//   w' = w - lr g / (sqrt(s') + eps)
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct Rmsprop {
  static constexpr uint32_t kSlots = 1;  // s, the mean square
  static constexpr bool kCountsSteps = false;

  struct Step {
    float lr;
    float rho;
    float rest;  // 1 - rho
    float eps;

    void Scalar(float grad, float* state) const {
      state[1] = std::fma(rho, state[1], rest * grad * grad);
      const float direction = grad / (std::sqrt(state[1]) + eps);
      state[0] = std::fma(-lr, direction, state[0]);
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      const V g2 = hn::Mul(hn::Mul(hn::Set(d, rest), grad), grad);
      state[1] = hn::MulAdd(hn::Set(d, rho), state[1], g2);
      const V root = hn::Add(hn::Sqrt(state[1]), hn::Set(d, eps));
      state[0] = hn::NegMulAdd(hn::Set(d, lr), hn::Div(grad, root), state[0]);
    }
  };

  double lr;
  double rho;
  double eps;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.lr = static_cast<float>(lr * lr_scale),
            .rho = static_cast<float>(rho),
            .rest = static_cast<float>(1 - rho),
            .eps = static_cast<float>(eps)};
  }
};

}  // namespace

RuleEntry RmspropEntry() {
  RuleInfo info{
      .name = "rmsprop",
      .help = "s' = rho s + (1 - rho) g^2; w' = w - lr g / (sqrt(s') + eps)",
      .slots = {{"mean_square"}},
      .params = {
          LearningRate(0.01),
          KeptShare("rho", 0.99, "share of the mean square that is kept"),
          Epsilon(1e-8)}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const Rmsprop rmsprop{.lr = values.at("lr"),
                                  .rho = values.at("rho"),
                                  .eps = values.at("eps")};
            return std::make_unique<ElementwiseRule<Rmsprop>>(info, rmsprop);
          }};
}

}  // namespace paramo
