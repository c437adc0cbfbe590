#include "server/table/gradient.h"

#include <cmath>
#include <cstring>

#include "server/rule/finite.h"

namespace paramo {
namespace {

float Load(const float* unaligned, uint32_t i) {
  float value;
  std::memcpy(&value,
              reinterpret_cast<const char*>(unaligned) + i * sizeof(float),
              sizeof(float));
  return value;
}

void Compensate(float lambda, const PushedGradient& pushed, uint32_t dim,
                float* grad) {
  for (uint32_t i = 0; i < dim; ++i) {
    const float moved = pushed.value[i] - Load(pushed.pulled, i);
    grad[i] = std::fma(lambda * grad[i] * grad[i], moved, grad[i]);
  }
}

}  // namespace

bool PreparesGradients(const TableConfig& config, bool with_pulled) {
  return config.policy == NonFinitePolicy::kClip || config.clipping.value > 0 ||
         config.clipping.norm > 0 ||
         (with_pulled && config.delay_compensation > 0);
}

void PrepareGradient(const TableConfig& config, const PushedGradient& pushed,
                     uint32_t dim, float* out) {
  if (config.policy == NonFinitePolicy::kClip) {
    ClipGradient(pushed.grad, config.clip, dim, out);
  } else {
    std::memcpy(out, pushed.grad, dim * sizeof(float));
  }
  if (pushed.pulled != nullptr && config.delay_compensation > 0) {
    Compensate(config.delay_compensation, pushed, dim, out);
  }
  if (config.clipping.value > 0) ClipFinite(config.clipping.value, dim, out);
  if (config.clipping.norm > 0) ClipNorm(config.clipping.norm, dim, out);
}

}  // namespace paramo
