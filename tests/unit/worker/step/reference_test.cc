#include "worker/step/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/random.h"
#include "worker/compute/compute.h"
#include "worker/model/initial_weights.h"
#include "worker/step/evaluate.h"

namespace paramo {
namespace {

// Two noisy clusters in the plane: linearly separable but for a few.
class Clusters final : public Dataset {
 public:
  explicit Clusters(size_t examples) {
    BitGen random(17);
    for (size_t i = 0; i < examples; ++i) {
      const int32_t label = static_cast<int32_t>(random.Below(2));
      labels_.push_back(label);
      for (int f = 0; f < 2; ++f) {
        points_.push_back(
            static_cast<float>(label * 2 - 1 + 2 * (random.Uniform() - 0.5)));
      }
    }
  }
  size_t examples() const override { return labels_.size(); }
  size_t features() const override { return 2; }
  size_t classes() const override { return 2; }
  absl::Status Read(absl::Span<const uint32_t> indices,
                    absl::Span<float> features,
                    absl::Span<int32_t> labels) const override {
    for (size_t i = 0; i < indices.size(); ++i) {
      features[2 * i] = points_[2 * indices[i]];
      features[2 * i + 1] = points_[2 * indices[i] + 1];
      labels[i] = labels_[indices[i]];
    }
    return absl::OkStatus();
  }

 private:
  std::vector<float> points_;
  std::vector<int32_t> labels_;
};

JobFile Job(size_t workers) {
  JobFile job;
  job.epochs = 2;
  job.seed = 3;
  job.workers = workers;
  job.global_batch = 12;
  job.batches_per_data_shard = 3;
  job.layers = {2, 2};
  job.rule = "sgd";
  job.rule_params = {{"lr", 0.5}};
  job.table_block = 4;
  return job;
}

ReferenceResult Train(const JobFile& job, const Dataset& data,
                      std::vector<ReferenceEpoch>* epochs = nullptr) {
  auto compute = MakeCpuCompute();
  auto model = MakeMlp(job.layers, *compute);
  auto result =
      TrainReference(job, *model, data, data, [&](const ReferenceEpoch& epoch) {
        if (epochs != nullptr) epochs->push_back(epoch);
      });
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(Reference, LearnsAndReportsEveryEpoch) {
  Clusters data(200);
  std::vector<ReferenceEpoch> epochs;
  ReferenceResult result = Train(Job(2), data, &epochs);
  ASSERT_EQ(epochs.size(), 2u);
  EXPECT_EQ(epochs[0].epoch, 1u);
  EXPECT_EQ(epochs[1].epoch, 2u);
  EXPECT_LT(epochs[1].loss, epochs[0].loss);
  EXPECT_EQ(epochs[1].metric, result.metric);
  EXPECT_GT(result.metric, 0.95);
}

TEST(Reference, IsRepeatable) {
  Clusters data(100);
  EXPECT_EQ(Train(Job(2), data).weights, Train(Job(2), data).weights);
}

// One worker, one batch of the whole set: a step of plain gradient descent.
TEST(Reference, OneRoundIsOneStepAgainstTheMeanGradient) {
  Clusters data(10);
  JobFile job = Job(1);
  job.epochs = 1;
  job.global_batch = 10;
  ReferenceResult result = Train(job, data);
  EXPECT_EQ(result.rounds, 1u);

  auto compute = MakeCpuCompute();
  auto model = MakeMlp(job.layers, *compute);
  std::vector<float> w =
      InitialWeights(model->tensors()[0], job.TensorSeed(0), 4);
  std::vector<float> b =
      InitialWeights(model->tensors()[1], job.TensorSeed(1), 4);
  Batch batch;
  BatchReader reader(data, job.Plan(10));
  ASSERT_TRUE(reader.Read({0, 0}, batch).ok());
  std::vector<float> dw(4), db(2);
  std::vector<absl::Span<const float>> parameters = {w, b};
  std::vector<absl::Span<float>> gradients = {absl::MakeSpan(dw),
                                              absl::MakeSpan(db)};
  model->Gradients(parameters, batch, gradients);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(result.weights[0][i], w[i] - 0.5f * dw[i], 1e-6);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_NEAR(result.weights[1][i], b[i] - 0.5f * db[i], 1e-6);
}

// The weighted mean over two ranks is the mean over their joint batch.
TEST(Reference, TwoRanksMakeTheStepOfTheirUnion) {
  Clusters data(20);
  JobFile job = Job(2);
  job.epochs = 1;
  job.global_batch = 24;  // batches of 12 and 8 examples: weights 0.6 and 0.4
  job.batches_per_data_shard = 1;
  ReferenceResult two = Train(job, data);
  EXPECT_EQ(two.rounds, 1u);
  job.workers = 1;  // the whole set at once
  ReferenceResult one = Train(job, data);
  EXPECT_EQ(one.rounds, 1u);
  for (size_t t = 0; t < one.weights.size(); ++t) {
    EXPECT_THAT(
        two.weights[t],
        ::testing::Pointwise(::testing::FloatNear(1e-6f), one.weights[t]));
  }
}

TEST(Reference, RanksThatRunOutDropOut) {
  // 5 batches of 4 in data shards of 1: rank 0 has 3 of them, rank 1 has 2.
  Clusters data(20);
  JobFile job = Job(2);
  job.epochs = 1;
  job.global_batch = 8;
  job.batches_per_data_shard = 1;
  EXPECT_EQ(Train(job, data).rounds, 3u);
}

TEST(Reference, MoreWorkersThanDataShards) {
  Clusters data(20);
  JobFile job = Job(3);
  job.epochs = 1;
  job.global_batch = 60;
  std::vector<ReferenceEpoch> epochs;
  ReferenceResult result = Train(job, data, &epochs);  // one batch of 20
  EXPECT_EQ(result.rounds, 1u);
  EXPECT_EQ(epochs.size(), 1u);
}

JobFile AveragingJob(size_t local_steps) {
  JobFile job = Job(2);
  job.averaging.local_steps = local_steps;
  job.averaging.rule = "sgd";
  job.averaging.rule_params = {{"lr", 1}};
  return job;
}

// Averaging models after one step is averaging gradients, to the last bit.
TEST(Reference, OneLocalStepIsBsp) {
  Clusters data(100);
  EXPECT_EQ(Train(AveragingJob(1), data).weights, Train(Job(2), data).weights);
}

// Each of two ranks makes two steps of 3 examples, and the models are averaged.
TEST(Reference, LocalStepsAreThoseOfEachRankAlone) {
  Clusters data(12);
  JobFile job = AveragingJob(2);
  job.epochs = 1;
  job.batches_per_data_shard = 1;
  const ReferenceResult result = Train(job, data);
  EXPECT_EQ(result.rounds, 1u);

  auto compute = MakeCpuCompute();
  auto model = MakeMlp(job.layers, *compute);
  const std::vector<float> w0 =
      InitialWeights(model->tensors()[0], job.TensorSeed(0), 4);
  std::vector<float> mean(4);
  BatchReader reader(data, job.Plan(12));
  for (uint64_t rank = 0; rank < 2; ++rank) {
    Batch batch;
    ASSERT_TRUE(reader.Read({rank, 0}, batch).ok());
    ASSERT_EQ(batch.size, 6u);
    std::vector<float> w = w0, b = {0, 0}, dw(4), db(2);
    for (size_t step = 0; step < 2; ++step) {
      Batch piece;
      piece.size = 3;
      piece.features.assign(&batch.features[step * 6],
                            &batch.features[step * 6] + 6);
      piece.labels.assign(&batch.labels[step * 3], &batch.labels[step * 3] + 3);
      const std::vector<absl::Span<const float>> parameters = {w, b};
      const std::vector<absl::Span<float>> gradients = {absl::MakeSpan(dw),
                                                        absl::MakeSpan(db)};
      model->Gradients(parameters, piece, gradients);
      for (size_t i = 0; i < 4; ++i) w[i] -= 0.5f * dw[i];
      for (size_t i = 0; i < 2; ++i) b[i] -= 0.5f * db[i];
    }
    for (size_t i = 0; i < 4; ++i) mean[i] += w[i] / 2;
  }
  EXPECT_THAT(result.weights[0],
              ::testing::Pointwise(::testing::FloatNear(1e-6f), mean));
}

TEST(Accuracy, CountsWhatIsPredicted) {
  Clusters data(1203);  // more than one chunk, and a partial one
  auto compute = MakeCpuCompute();
  auto model = MakeMlp({2, 2}, *compute);
  std::vector<float> w = {-1, 1, -1, 1}, b = {0, 0};
  std::vector<absl::Span<const float>> right = {w, b};
  auto good = Accuracy(*model, right, data);
  ASSERT_TRUE(good.ok());
  EXPECT_GT(*good, 0.95);
  std::vector<float> mirrored = {1, -1, 1, -1};
  std::vector<absl::Span<const float>> wrong = {mirrored, b};
  auto bad = Accuracy(*model, wrong, data);
  ASSERT_TRUE(bad.ok());
  EXPECT_NEAR(*good + *bad, 1, 0.01);
}

}  // namespace
}  // namespace paramo
