// Adagrad: Duchi, Hazan, Singer 2011, Alg. 1 (diagonal). Epsilon is outside
// the root, as in PyTorch, so that a job moves over with its numbers.
//   a' = a + g^2
//   w' = w - lr g / (sqrt(a') + eps)
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct Adagrad {
  static constexpr uint32_t kSlots = 1;  // a
  static constexpr bool kCountsSteps = false;

  struct Step {
    float lr;
    float eps;

    void Scalar(float grad, float* state) const {
      state[1] = std::fma(grad, grad, state[1]);
      const float direction = grad / (std::sqrt(state[1]) + eps);
      state[0] = std::fma(-lr, direction, state[0]);
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      state[1] = hn::MulAdd(grad, grad, state[1]);
      const V root = hn::Add(hn::Sqrt(state[1]), hn::Set(d, eps));
      state[0] = hn::NegMulAdd(hn::Set(d, lr), hn::Div(grad, root), state[0]);
    }
  };

  double lr;
  double eps;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.lr = static_cast<float>(lr * lr_scale),
            .eps = static_cast<float>(eps)};
  }
};

}  // namespace

RuleEntry AdagradEntry() {
  RuleInfo info{.name = "adagrad",
                .help = "a' = a + g^2; w' = w - lr g / (sqrt(a') + eps)",
                .slots = {{"square_sum"}},
                .params = {LearningRate(0.01), Epsilon(1e-10)}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const Adagrad adagrad{.lr = values.at("lr"),
                                  .eps = values.at("eps")};
            return std::make_unique<ElementwiseRule<Adagrad>>(info, adagrad);
          }};
}

}  // namespace paramo
