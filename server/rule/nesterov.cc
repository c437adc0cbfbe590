// Nesterov's accelerated gradient: Sutskever, Martens, Dahl, Hinton 2013, in
// the form that keeps the value where the gradient is taken (Bengio,
// Boulanger-Lewandowski, Pascanu 2013, eq. 7), as PyTorch does.
//   v' = momentum v + g
//   w' = w - lr (g + momentum v')
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct Nesterov {
  static constexpr uint32_t kSlots = 1;  // v, the velocity
  static constexpr bool kCountsSteps = false;

  struct Step {
    float lr;
    float momentum;

    void Scalar(float grad, float* state) const {
      state[1] = std::fma(momentum, state[1], grad);
      const float direction = std::fma(momentum, state[1], grad);
      state[0] = std::fma(-lr, direction, state[0]);
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      state[1] = hn::MulAdd(hn::Set(d, momentum), state[1], grad);
      const V direction = hn::MulAdd(hn::Set(d, momentum), state[1], grad);
      state[0] = hn::NegMulAdd(hn::Set(d, lr), direction, state[0]);
    }
  };

  double lr;
  double momentum;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.lr = static_cast<float>(lr * lr_scale),
            .momentum = static_cast<float>(momentum)};
  }
};

}  // namespace

RuleEntry NesterovEntry() {
  RuleInfo info{.name = "nesterov",
                .help = "v' = momentum v + g; w' = w - lr (g + momentum v')",
                .slots = {{"velocity"}},
                .params = {LearningRate(0.01),
                           KeptShare("momentum", 0.9,
                                     "share of the velocity that is kept")}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const Nesterov nesterov{.lr = values.at("lr"),
                                    .momentum = values.at("momentum")};
            return std::make_unique<ElementwiseRule<Nesterov>>(info, nesterov);
          }};
}

}  // namespace paramo
