// Stochastic gradient descent.
//   w' = w - lr g
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct Sgd {
  static constexpr uint32_t kSlots = 0;
  static constexpr bool kCountsSteps = false;

  struct Step {
    float lr;

    void Scalar(float grad, float* state) const {
      state[0] = std::fma(-lr, grad, state[0]);
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      state[0] = hn::NegMulAdd(hn::Set(d, lr), grad, state[0]);
    }
  };

  double lr;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.lr = static_cast<float>(lr * lr_scale)};
  }
};

}  // namespace

RuleEntry SgdEntry() {
  RuleInfo info{.name = "sgd",
                .help = "w' = w - lr g",
                .slots = {},
                .params = {LearningRate(0.01)}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            return std::make_unique<ElementwiseRule<Sgd>>(
                info, Sgd{.lr = values.at("lr")});
          }};
}

}  // namespace paramo
