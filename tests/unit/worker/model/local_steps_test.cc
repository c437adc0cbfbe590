#include "worker/model/local_steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "worker/compute/compute.h"

namespace paramo {
namespace {

constexpr float kLr = 0.3f;

class LocalStepsTest : public ::testing::Test {
 protected:
  LocalStepsTest() {
    BitGen random(4);
    for (const TensorInfo& info : model_->tensors()) {
      start_.emplace_back();
      for (size_t i = 0; i < info.elements(); ++i) {
        start_.back().push_back(static_cast<float>(random.Uniform() - 0.5));
      }
    }
    batch_.size = 10;
    for (size_t e = 0; e < batch_.size; ++e) {
      for (int f = 0; f < 4; ++f) {
        batch_.features.push_back(static_cast<float>(random.Uniform()));
      }
      batch_.labels.push_back(static_cast<int32_t>(random.Below(3)));
      batch_.indices.push_back(static_cast<uint32_t>(e));
    }
  }

  using Buffers = std::vector<std::vector<float>>;
  static std::vector<absl::Span<const float>> In(const Buffers& buffers) {
    return {buffers.begin(), buffers.end()};
  }
  static std::vector<absl::Span<float>> Out(Buffers& buffers) {
    std::vector<absl::Span<float>> spans;
    for (auto& buffer : buffers) spans.push_back(absl::MakeSpan(buffer));
    return spans;
  }
  Batch Part(size_t begin, size_t size) const {
    Batch part;
    part.size = size;
    part.features.assign(&batch_.features[begin * 4],
                         &batch_.features[begin * 4] + size * 4);
    part.labels.assign(&batch_.labels[begin], &batch_.labels[begin] + size);
    return part;
  }

  std::unique_ptr<Compute> compute_ = MakeCpuCompute();
  std::unique_ptr<Model> model_ = MakeMlp({4, 5, 3}, *compute_);
  Buffers start_;
  Batch batch_;
};

TEST_F(LocalStepsTest, OneStepIsTheGradientToTheLastBit) {
  Buffers gradient = start_, sum = start_;
  const double loss = model_->Gradients(In(start_), batch_, Out(gradient));
  LocalSteps steps(*model_, /*step_examples=*/10);
  EXPECT_EQ(steps.Run(In(start_), batch_, kLr, Out(sum)), loss);
  EXPECT_EQ(sum, gradient);
}

// Pieces of 4, 4 and 2 examples, step by step.
TEST_F(LocalStepsTest, SeveralStepsAreThoseOfSgd) {
  Buffers local = start_, gradient = start_, sum = start_, expected = start_;
  for (auto& tensor : expected) tensor.assign(tensor.size(), 0.0f);
  double loss = 0;
  for (const auto& [begin, size] :
       std::vector<std::pair<size_t, size_t>>{{0, 4}, {4, 4}, {8, 2}}) {
    loss += static_cast<double>(size) / 10 *
            model_->Gradients(In(local), Part(begin, size), Out(gradient));
    for (size_t t = 0; t < local.size(); ++t) {
      for (size_t i = 0; i < local[t].size(); ++i) {
        expected[t][i] += gradient[t][i];
        local[t][i] = std::fma(-kLr, gradient[t][i], local[t][i]);
      }
    }
  }
  const Buffers untouched = start_;
  LocalSteps steps(*model_, /*step_examples=*/4);
  for (int again = 0; again < 2; ++again) {  // nothing is left of a run
    EXPECT_NEAR(steps.Run(In(start_), batch_, kLr, Out(sum)), loss, 1e-12);
    EXPECT_EQ(sum, expected);
  }
  EXPECT_EQ(start_, untouched);
  // The contribution is the way gone, over the learning rate.
  for (size_t t = 0; t < local.size(); ++t) {
    for (size_t i = 0; i < local[t].size(); ++i) {
      EXPECT_NEAR(sum[t][i], (start_[t][i] - local[t][i]) / kLr, 1e-6);
    }
  }
}

}  // namespace
}  // namespace paramo
