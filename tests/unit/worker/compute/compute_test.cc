// What every backend of Compute must do. A new one adds its maker below.
#include "worker/compute/compute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/random.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

struct Backend {
  const char* name;
  std::unique_ptr<Compute> (*make)();
};

std::vector<float> Random(size_t count, uint64_t seed) {
  BitGen random(seed);
  std::vector<float> values(count);
  for (float& value : values)
    value = static_cast<float>(random.Uniform() * 2 - 1);
  return values;
}

class ComputeTest : public ::testing::TestWithParam<Backend> {
 protected:
  std::unique_ptr<Compute> compute_ = GetParam().make();
};

TEST_P(ComputeTest, GemmEqualsTheNaiveLoop) {
  const std::tuple<size_t, size_t, size_t> shapes[] = {
      {1, 1, 1}, {1, 5, 3}, {7, 1, 2}, {33, 17, 65}, {64, 10, 128}};
  for (auto [m, n, k] : shapes) {
    for (Transpose ta : {Transpose::kNo, Transpose::kYes}) {
      for (Transpose tb : {Transpose::kNo, Transpose::kYes}) {
        std::vector<float> a = Random(m * k, 1), b = Random(k * n, 2);
        // NaN: what was in c before must not leak into the result.
        std::vector<float> c(m * n, std::nanf(""));
        compute_->Gemm(ta, tb, m, n, k, a.data(), b.data(), c.data());
        for (size_t i = 0; i < m; ++i) {
          for (size_t j = 0; j < n; ++j) {
            double sum = 0;
            for (size_t l = 0; l < k; ++l) {
              double left = ta == Transpose::kYes ? a[l * m + i] : a[i * k + l];
              double right =
                  tb == Transpose::kYes ? b[j * k + l] : b[l * n + j];
              sum += left * right;
            }
            // k terms of magnitude <= 1, each rounded to 2^-24.
            ASSERT_NEAR(c[i * n + j], sum, 1e-6 * static_cast<double>(k))
                << m << "x" << n << "x" << k << " at " << i << "," << j;
          }
        }
      }
    }
  }
}

TEST_P(ComputeTest, AddsTheBiasToEveryRow) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6}, bias = {10, 20, 30};
  compute_->AddBias(2, 3, bias.data(), x.data());
  EXPECT_THAT(x, ElementsAre(11, 22, 33, 14, 25, 36));
}

TEST_P(ComputeTest, SumsColumns) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6}, out(3, 99);
  compute_->SumRows(2, 3, x.data(), out.data());
  EXPECT_THAT(out, ElementsAre(5, 7, 9));
}

TEST_P(ComputeTest, ReluKeepsWhatIsPositive) {
  std::vector<float> x = {-1, 0, 2, -0.5f, 3};
  compute_->Relu(x.size(), x.data());
  EXPECT_THAT(x, ElementsAre(0, 0, 2, 0, 3));
}

TEST_P(ComputeTest, ReluDoesNotHideANan) {
  std::vector<float> x = {std::nanf("")};
  compute_->Relu(1, x.data());
  EXPECT_TRUE(std::isnan(x[0]));
}

TEST_P(ComputeTest, ReluGradientStopsWhereTheOutputIsZero) {
  std::vector<float> y = {0, 0, 2, 3}, gradient = {1, -2, 3, -4};
  compute_->ReluGradient(4, y.data(), gradient.data());
  EXPECT_THAT(gradient, ElementsAre(0, 0, 3, -4));
}

TEST_P(ComputeTest, SoftmaxCrossEntropyByHand) {
  // Row 0: softmax(ln 1, ln 3) = (1/4, 3/4), label 1: loss ln(4/3).
  // Row 1: softmax(0, 0) = (1/2, 1/2), label 0: loss ln 2.
  // Gradients are (p - one-hot) / 2.
  std::vector<float> logits = {0, std::log(3.0f), 0, 0}, gradient(4);
  std::vector<int32_t> labels = {1, 0};
  double loss = compute_->SoftmaxCrossEntropy(2, 2, logits.data(),
                                              labels.data(), gradient.data());
  EXPECT_NEAR(loss, (std::log(4.0 / 3.0) + std::log(2.0)) / 2, 1e-6);
  EXPECT_THAT(gradient,
              ElementsAre(FloatNear(0.125f, 1e-6f), FloatNear(-0.125f, 1e-6f),
                          FloatNear(-0.25f, 1e-6f), FloatNear(0.25f, 1e-6f)));
}

TEST_P(ComputeTest, SoftmaxOfHugeLogitsStaysFinite) {
  std::vector<float> logits = {3e38f, -3e38f}, gradient(2);
  std::vector<int32_t> labels = {0};
  double loss = compute_->SoftmaxCrossEntropy(1, 2, logits.data(),
                                              labels.data(), gradient.data());
  EXPECT_NEAR(loss, 0, 1e-6);
  EXPECT_THAT(gradient, ElementsAre(FloatNear(0, 1e-6f), FloatNear(0, 1e-6f)));
}

TEST_P(ComputeTest, SoftmaxGradientMayOverwriteTheLogits) {
  std::vector<float> logits = Random(60, 5), apart(60);
  std::vector<int32_t> labels = {0, 1, 2, 3, 4, 5};
  double loss = compute_->SoftmaxCrossEntropy(6, 10, logits.data(),
                                              labels.data(), apart.data());
  EXPECT_EQ(loss, compute_->SoftmaxCrossEntropy(6, 10, logits.data(),
                                                labels.data(), logits.data()));
  EXPECT_EQ(logits, apart);
}

TEST_P(ComputeTest, ArgMaxTakesTheFirstOfEquals) {
  std::vector<float> x = {1, 3, 2, 5, 5, 4, -3, -2, -1};
  std::vector<int32_t> out(3);
  compute_->ArgMax(3, 3, x.data(), out.data());
  EXPECT_THAT(out, ElementsAre(1, 0, 2));
}

INSTANTIATE_TEST_SUITE_P(Backends, ComputeTest,
                         ::testing::Values(Backend{"cpu", MakeCpuCompute}),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace paramo
