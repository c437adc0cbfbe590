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

  Step step;
  Step AtStep(uint32_t) const { return step; }
};

}  // namespace

RuleEntry AdagradEntry() {
  // An eps of 0 would divide 0 by 0 at the first zero gradient; 1e-30 is still
  // a normal f32.
  RuleInfo info{.name = "adagrad",
                .help = "a' = a + g^2; w' = w - lr g / (sqrt(a') + eps)",
                .slots = Adagrad::kSlots,
                .params = {LearningRate(0.01),
                           {.name = "eps",
                            .default_value = 1e-10,
                            .min = 1e-30,
                            .max = 1,
                            .help = "added to the root; bounds early steps"}}};
  return {
      std::move(info),
      [](const RuleInfo& info,
         const RuleParamValues& values) -> std::unique_ptr<Rule> {
        const Adagrad::Step step{.lr = static_cast<float>(values.at("lr")),
                                 .eps = static_cast<float>(values.at("eps"))};
        return std::make_unique<ElementwiseRule<Adagrad>>(info, Adagrad{step});
      }};
}

}  // namespace paramo
