#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "worker/compute/compute.h"

namespace paramo {
namespace {

CBLAS_TRANSPOSE Flag(Transpose transpose) {
  return transpose == Transpose::kYes ? CblasTrans : CblasNoTrans;
}

class CpuCompute final : public Compute {
 public:
  void Gemm(Transpose transpose_a, Transpose transpose_b, size_t m, size_t n,
            size_t k, const float* a, const float* b, float* c) override {
    const size_t a_columns = transpose_a == Transpose::kYes ? m : k;
    const size_t b_columns = transpose_b == Transpose::kYes ? k : n;
    cblas_sgemm(
        CblasRowMajor, Flag(transpose_a), Flag(transpose_b),
        static_cast<blasint>(m), static_cast<blasint>(n),
        static_cast<blasint>(k), 1.0f, a, static_cast<blasint>(a_columns), b,
        static_cast<blasint>(b_columns), 0.0f, c, static_cast<blasint>(n));
  }

  void AddBias(size_t m, size_t n, const float* bias, float* x) override {
    for (size_t i = 0; i < m; ++i, x += n) {
      for (size_t j = 0; j < n; ++j) x[j] += bias[j];
    }
  }

  void SumRows(size_t m, size_t n, const float* x, float* out) override {
    std::fill(out, out + n, 0.0f);
    for (size_t i = 0; i < m; ++i, x += n) {
      for (size_t j = 0; j < n; ++j) out[j] += x[j];
    }
  }

  void Relu(size_t count, float* x) override {
    for (size_t i = 0; i < count; ++i) x[i] = x[i] < 0.0f ? 0.0f : x[i];
  }

  void ReluGradient(size_t count, const float* y, float* gradient) override {
    for (size_t i = 0; i < count; ++i) {
      gradient[i] = y[i] == 0.0f ? 0.0f : gradient[i];
    }
  }

  // Subtracting the row's maximum keeps exp() from overflowing; the result is
  // the same.
  double SoftmaxCrossEntropy(size_t m, size_t n, const float* logits,
                             const int32_t* labels, float* gradient) override {
    const float scale = 1.0f / static_cast<float>(m);
    double loss = 0;
    for (size_t i = 0; i < m; ++i, logits += n, gradient += n) {
      const float max = *std::max_element(logits, logits + n);
      const float of_label = logits[labels[i]] - max;
      float sum = 0;
      for (size_t j = 0; j < n; ++j) {
        gradient[j] = std::exp(logits[j] - max);
        sum += gradient[j];
      }
      loss += std::log(sum) - of_label;
      for (size_t j = 0; j < n; ++j) gradient[j] *= scale / sum;
      gradient[labels[i]] -= scale;
    }
    return loss / static_cast<double>(m);
  }

  void ArgMax(size_t m, size_t n, const float* x, int32_t* out) override {
    for (size_t i = 0; i < m; ++i, x += n) {
      out[i] = static_cast<int32_t>(std::max_element(x, x + n) - x);
    }
  }
};

}  // namespace

std::unique_ptr<Compute> MakeCpuCompute() {
  openblas_set_num_threads(1);
  return std::make_unique<CpuCompute>();
}

}  // namespace paramo
