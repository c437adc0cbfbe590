// Row-wise Adagrad: one accumulator for the whole row, which takes the mean of
// the squared gradient (Mudigere et al. 2021, "exact row-wise AdaGrad"). For
// embeddings: 4 bytes of state per row instead of 4 dim.
//   a' = a + (sum of g^2) / dim
//   w' = w - lr g / (sqrt(a') + eps)
#include "server/rule/elementwise_rule.h"
#include "server/rule/registry.h"

namespace paramo {
namespace {

struct RowwiseAdagrad {
  static constexpr uint32_t kSlots = 0;
  static constexpr uint32_t kRowSlots = 1;  // a
  static constexpr bool kCountsSteps = false;

  struct Step {
    float lr;
    float eps;
    float inverse;  // 1 / (sqrt(a') + eps)

    void Scalar(float grad, float* state) const {
      state[0] = std::fma(-lr, grad * inverse, state[0]);
    }

    template <class D, class V>
    void Vector(D d, V grad, V* state) const {
      const V direction = hn::Mul(grad, hn::Set(d, inverse));
      state[0] = hn::NegMulAdd(hn::Set(d, lr), direction, state[0]);
    }
  };

  double lr;
  double eps;

  Step AtStep(uint32_t, double lr_scale) const {
    return {.lr = static_cast<float>(lr * lr_scale),
            .eps = static_cast<float>(eps),
            .inverse = 0};
  }

  Step AtRow(Step step, double sum_of_squares, uint32_t dim,
             float* row_slots) const {
    row_slots[0] += static_cast<float>(sum_of_squares / dim);
    step.inverse = 1 / (std::sqrt(row_slots[0]) + step.eps);
    return step;
  }
};

}  // namespace

RuleEntry RowwiseAdagradEntry() {
  RuleInfo info{.name = "rowwise_adagrad",
                .help =
                    "a' = a + (sum of g^2) / dim, one number per row; "
                    "w' = w - lr g / (sqrt(a') + eps)",
                .slots = {{.name = "square_sum", .per_row = true}},
                .params = {LearningRate(0.01), Epsilon(1e-10)}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const RowwiseAdagrad rule{.lr = values.at("lr"),
                                      .eps = values.at("eps")};
            return std::make_unique<ElementwiseRule<RowwiseAdagrad>>(info,
                                                                     rule);
          }};
}

}  // namespace paramo
