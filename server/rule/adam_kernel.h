// What adam.cc and adamw.cc share: the step of Adam with decoupled decay.
//   m' = beta1 m + (1 - beta1) g
//   v' = beta2 v + (1 - beta2) g^2
//   w' = (1 - lr decay) w
//        - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + eps)
// Without decay the factor on w is 1, which changes no bit.
#pragma once

#include "server/rule/elementwise_rule.h"
#include "server/rule/power.h"

namespace paramo {

struct AdamKernel {
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
    float keep;   // 1 - lr decay

    void Scalar(float grad, float* state) const {
      const float m = std::fma(beta1, state[1], rest1 * grad);
      const float v = std::fma(beta2, state[2], rest2 * grad * grad);
      const float direction = m / (std::sqrt(v * scale) + eps);
      state[0] = std::fma(-rate, direction, keep * state[0]);
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
      const V kept = hn::Mul(hn::Set(d, keep), state[0]);
      state[0] = hn::NegMulAdd(hn::Set(d, rate), direction, kept);
      state[1] = m;
      state[2] = v;
    }
  };

  double lr;
  double beta1;
  double beta2;
  double eps;
  double decay;

  // Constants are computed in f64 and rounded once.
  Step AtStep(uint32_t t, double lr_scale) const {
    const double scaled = lr * lr_scale;
    return {.beta1 = static_cast<float>(beta1),
            .beta2 = static_cast<float>(beta2),
            .rest1 = static_cast<float>(1 - beta1),
            .rest2 = static_cast<float>(1 - beta2),
            .eps = static_cast<float>(eps),
            .rate = static_cast<float>(scaled / (1 - Power(beta1, t))),
            .scale = static_cast<float>(1 / (1 - Power(beta2, t))),
            .keep = static_cast<float>(1 - scaled * decay)};
  }
};

}  // namespace paramo
