#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "worker/compute/compute.h"
#include "worker/model/model.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

// A model's parameters and gradients, in buffers a test may change.
struct Buffers {
  explicit Buffers(const Model& model) {
    for (const TensorInfo& info : model.tensors()) {
      values.emplace_back(info.elements());
      gradients.emplace_back(info.elements());
    }
  }
  std::vector<absl::Span<const float>> Values() const {
    return {values.begin(), values.end()};
  }
  std::vector<absl::Span<float>> Gradients() {
    std::vector<absl::Span<float>> spans;
    for (auto& gradient : gradients) spans.push_back(absl::MakeSpan(gradient));
    return spans;
  }
  void Randomize(uint64_t seed) {
    BitGen random(seed);
    for (auto& tensor : values) {
      for (float& value : tensor) {
        value = static_cast<float>(random.Uniform() - 0.5);
      }
    }
  }

  std::vector<std::vector<float>> values;
  std::vector<std::vector<float>> gradients;
};

Batch RandomBatch(size_t size, size_t features, size_t classes) {
  BitGen random(99);
  Batch batch;
  batch.size = size;
  for (size_t i = 0; i < size * features; ++i) {
    batch.features.push_back(static_cast<float>(random.Uniform()));
  }
  for (size_t i = 0; i < size; ++i) {
    batch.labels.push_back(static_cast<int32_t>(random.Below(classes)));
  }
  return batch;
}

class MlpTest : public ::testing::Test {
 protected:
  std::unique_ptr<Compute> compute_ = MakeCpuCompute();
};

TEST_F(MlpTest, DeclaresItsTensors) {
  auto model = MakeMlp({784, 256, 10}, *compute_);
  const auto& tensors = model->tensors();
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors[0].name, "w0");
  EXPECT_THAT(tensors[0].shape, ElementsAre(784, 256));
  EXPECT_EQ(tensors[0].init, TensorInfo::Init::kXavier);
  EXPECT_EQ(tensors[0].fan_in, 784u);
  EXPECT_EQ(tensors[0].fan_out, 256u);
  EXPECT_EQ(tensors[0].elements(), 784u * 256u);
  EXPECT_EQ(tensors[3].name, "b1");
  EXPECT_THAT(tensors[3].shape, ElementsAre(10));
  EXPECT_EQ(tensors[3].init, TensorInfo::Init::kZeros);
}

TEST_F(MlpTest, SoftmaxRegressionByHand) {
  // x = (1, 2), w = I, b = (0, 1): logits (1, 3), label 0.
  // p = softmax = (1, e^2) / (1 + e^2); loss = ln(1 + e^2);
  // db = p - (1, 0); dw = x^T db.
  auto model = MakeMlp({2, 2}, *compute_);
  Buffers buffers(*model);
  buffers.values = {{1, 0, 0, 1}, {0, 1}};
  Batch batch;
  batch.size = 1;
  batch.features = {1, 2};
  batch.labels = {0};
  double loss = model->Gradients(buffers.Values(), batch, buffers.Gradients());
  const double p1 = std::exp(2.0) / (1 + std::exp(2.0));
  EXPECT_NEAR(loss, std::log(1 + std::exp(2.0)), 1e-6);
  EXPECT_NEAR(buffers.gradients[1][0], -p1, 1e-6);
  EXPECT_NEAR(buffers.gradients[1][1], p1, 1e-6);
  EXPECT_NEAR(buffers.gradients[0][0], -p1, 1e-6);
  EXPECT_NEAR(buffers.gradients[0][1], p1, 1e-6);
  EXPECT_NEAR(buffers.gradients[0][2], -2 * p1, 1e-6);
  EXPECT_NEAR(buffers.gradients[0][3], 2 * p1, 1e-6);
}

// Central differences of the loss, against every gradient.
TEST_F(MlpTest, GradientsEqualFiniteDifferences) {
  auto model = MakeMlp({5, 8, 6, 3}, *compute_);
  Buffers buffers(*model);
  buffers.Randomize(1);
  Batch batch = RandomBatch(7, 5, 3);
  Buffers scratch(*model);
  model->Gradients(buffers.Values(), batch, buffers.Gradients());
  const float step = 2e-3f;
  int nonzero = 0;
  for (size_t t = 0; t < buffers.values.size(); ++t) {
    for (size_t i = 0; i < buffers.values[t].size(); ++i) {
      float& value = buffers.values[t][i];
      const float at = value;
      value = at + step;
      double up =
          model->Gradients(buffers.Values(), batch, scratch.Gradients());
      value = at - step;
      double down =
          model->Gradients(buffers.Values(), batch, scratch.Gradients());
      value = at;
      // f32 losses near 1 carry about 1e-7, over 4e-3: 2.5e-5 of noise; the
      // second order term and a ReLU that switches account for the rest.
      ASSERT_NEAR(buffers.gradients[t][i], (up - down) / (2 * step), 5e-4)
          << model->tensors()[t].name << "[" << i << "]";
      nonzero += std::abs(buffers.gradients[t][i]) > 1e-2;
    }
  }
  EXPECT_GT(nonzero, 20);  // a model of dead units would prove nothing
}

TEST_F(MlpTest, GradientIsTheMeanOverTheBatch) {
  auto model = MakeMlp({5, 4, 3}, *compute_);
  Buffers buffers(*model);
  buffers.Randomize(2);
  Batch once = RandomBatch(1, 5, 3);
  Batch twice = once;
  twice.size = 2;
  twice.features.insert(twice.features.end(), once.features.begin(),
                        once.features.end());
  twice.labels.push_back(once.labels[0]);
  Buffers other = buffers;
  double a = model->Gradients(buffers.Values(), once, buffers.Gradients());
  double b = model->Gradients(other.Values(), twice, other.Gradients());
  EXPECT_NEAR(a, b, 1e-6);
  for (size_t t = 0; t < buffers.values.size(); ++t) {
    EXPECT_THAT(other.gradients[t],
                ::testing::Pointwise(::testing::FloatNear(1e-6f),
                                     buffers.gradients[t]));
  }
}

TEST_F(MlpTest, DescendingTheGradientLearnsTheBatch) {
  auto model = MakeMlp({5, 16, 3}, *compute_);
  Buffers buffers(*model);
  buffers.Randomize(3);
  Batch batch = RandomBatch(12, 5, 3);
  double loss = 0;
  for (int step = 0; step < 2000; ++step) {
    loss = model->Gradients(buffers.Values(), batch, buffers.Gradients());
    for (size_t t = 0; t < buffers.values.size(); ++t) {
      for (size_t i = 0; i < buffers.values[t].size(); ++i) {
        buffers.values[t][i] -= 0.5f * buffers.gradients[t][i];
      }
    }
  }
  EXPECT_LT(loss, 0.05);
  std::vector<int32_t> predicted(batch.size);
  model->Predict(buffers.Values(), batch.size, batch.features.data(),
                 predicted.data());
  EXPECT_EQ(predicted, batch.labels);
}

TEST_F(MlpTest, SmallerBatchAfterALargerOneLeavesNoTrace) {
  auto model = MakeMlp({5, 4, 3}, *compute_);
  Buffers buffers(*model);
  buffers.Randomize(4);
  Batch large = RandomBatch(9, 5, 3);
  Batch small = RandomBatch(2, 5, 3);
  Buffers fresh = buffers;
  model->Gradients(buffers.Values(), large, buffers.Gradients());
  model->Gradients(buffers.Values(), small, buffers.Gradients());
  auto other = MakeMlp({5, 4, 3}, *compute_);
  other->Gradients(fresh.Values(), small, fresh.Gradients());
  EXPECT_EQ(buffers.gradients, fresh.gradients);
}

}  // namespace
}  // namespace paramo
