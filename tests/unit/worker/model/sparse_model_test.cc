#include "worker/model/sparse_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "common/base/random.h"
#include "server/rule/initializer.h"
#include "worker/model/initial_weights.h"
#include "worker/model/sparse_math.h"

namespace paramo {
namespace {

// Sparse examples with features 10, 20, ..., some repeated over examples.
LibsvmData MakeExamples() {
  LibsvmData data;
  BitGen random(3);
  for (int e = 0; e < 12; ++e) {
    SparseExamples& out = e < 8 ? data.train : data.held_out;
    for (uint64_t f = 0; f < 6; ++f) {
      if (random.Below(2) == 0) continue;
      out.features.push_back(10 * (f + 1));
      out.values.push_back(static_cast<float>(random.Uniform() * 2 - 1));
    }
    out.labels.push_back(static_cast<uint8_t>(e % 2));
    out.offsets.push_back(out.features.size());
  }
  return data;
}

// `nodes` packages; each needs the next three.
PackageGraph MakeRing(uint32_t nodes) {
  PackageGraph graph;
  for (uint32_t i = 0; i < nodes; ++i) {
    graph.names.push_back(std::to_string(i));
    graph.keys.push_back(1000 + i);
    graph.train.push_back({i, (i + 1) % nodes});
    graph.train.push_back({i, (i + 2) % nodes});
    graph.held_out.push_back({i, (i + 3) % nodes});
  }
  std::sort(graph.train.begin(), graph.train.end());
  std::sort(graph.held_out.begin(), graph.held_out.end());
  return graph;
}

Batch MakeBatch(std::vector<uint32_t> indices, uint64_t number = 0) {
  Batch batch;
  batch.size = indices.size();
  batch.indices = std::move(indices);
  batch.number = number;
  return batch;
}

// Random rows for a step, and gradients of the same shape.
struct Buffers {
  Buffers(const SparseModel& model, const SparseStep& step) {
    BitGen random(11);
    for (size_t t = 0; t < step.parts.size(); ++t) {
      rows.emplace_back(step.parts[t].rows.size() * model.tables()[t].dim);
      for (float& x : rows.back()) {
        x = static_cast<float>(random.Uniform() * 2 - 1);
      }
      gradients.emplace_back(rows.back().size(), 99.0f);  // overwritten
    }
  }
  double Gradients(SparseModel& model, const Batch& batch,
                   const SparseStep& step) {
    std::vector<absl::Span<const float>> in(rows.begin(), rows.end());
    std::vector<absl::Span<float>> out;
    for (auto& gradient : gradients) out.push_back(absl::MakeSpan(gradient));
    return model.Gradients(batch, step, in, out);
  }
  std::vector<std::vector<float>> rows;
  std::vector<std::vector<float>> gradients;
};

void ExpectGradientsMatchFiniteDifferences(SparseModel& model,
                                           const Batch& batch) {
  SparseStep step;
  model.Prepare(batch, step);
  Buffers buffers(model, step);
  buffers.Gradients(model, batch, step);
  const auto gradients = buffers.gradients;
  constexpr float kStep = 1e-2f;
  for (size_t t = 0; t < gradients.size(); ++t) {
    for (size_t i = 0; i < gradients[t].size(); ++i) {
      float& x = buffers.rows[t][i];
      const float was = x;
      x = was + kStep;
      const double above = buffers.Gradients(model, batch, step);
      x = was - kStep;
      const double below = buffers.Gradients(model, batch, step);
      x = was;
      EXPECT_NEAR(gradients[t][i], (above - below) / (2 * kStep), 2e-4)
          << "table " << t << " element " << i;
    }
  }
}

TEST(Logistic, GradientsMatchFiniteDifferences) {
  const LibsvmData data = MakeExamples();
  auto model = MakeLogistic(data);
  ExpectGradientsMatchFiniteDifferences(*model, MakeBatch({1, 4, 0, 7}));
}

TEST(Logistic, NeedsTheFeaturesOfTheBatchOnce) {
  const LibsvmData data = MakeExamples();
  auto model = MakeLogistic(data);
  SparseStep step;
  model->Prepare(MakeBatch({0, 1, 2, 3, 4, 5, 6, 7}), step);
  std::set<uint64_t> features(data.train.features.begin(),
                              data.train.features.end());
  EXPECT_EQ(step.parts[0].keys.size(), features.size());
  EXPECT_EQ(
      std::set<uint64_t>(step.parts[0].keys.begin(), step.parts[0].keys.end()),
      features);
  EXPECT_EQ(step.parts[1].keys, std::vector<uint64_t>{0});
}

TEST(Logistic, LossOfZeroWeightsIsLogTwo) {
  const LibsvmData data = MakeExamples();
  auto model = MakeLogistic(data);
  SparseStep step;
  const Batch batch = MakeBatch({0, 3});
  model->Prepare(batch, step);
  Buffers buffers(*model, step);
  for (auto& rows : buffers.rows) std::fill(rows.begin(), rows.end(), 0.0f);
  EXPECT_NEAR(buffers.Gradients(*model, batch, step), std::log(2.0), 1e-6);
}

TEST(LogisticTerm, IsFiniteForAnyScore) {
  for (float score : {-1e30f, -100.0f, 100.0f, 1e30f}) {
    for (bool label : {false, true}) {
      const LogisticTerm term = Logistic(score, label);
      EXPECT_TRUE(std::isfinite(term.loss));
      EXPECT_LE(std::fabs(term.slope), 1.0f);
    }
  }
  EXPECT_FLOAT_EQ(Logistic(0, true).slope, -0.5f);
  EXPECT_NEAR(Logistic(-100, true).loss, 100, 1e-4);
  EXPECT_TRUE(std::isnan(Logistic(NAN, true).loss));
}

TEST(Link, GradientsMatchFiniteDifferences) {
  const PackageGraph graph = MakeRing(9);
  auto model = MakeLinkPrediction(graph, /*dim=*/3, /*negatives=*/2, 7);
  ExpectGradientsMatchFiniteDifferences(*model, MakeBatch({0, 5, 5, 11}));
}

TEST(Link, NegativesAreNoTrainingTargetsAndFollowFromSeedAndBatch) {
  const PackageGraph graph = MakeRing(40);
  auto model = MakeLinkPrediction(graph, 4, /*negatives=*/5, 7);
  SparseStep step, again, other;
  std::vector<uint32_t> all(graph.train.size());
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  model->Prepare(MakeBatch(all, 1), step);
  ASSERT_EQ(step.terms.size(), all.size() * 7);
  for (size_t e = 0; e < all.size(); ++e) {
    const uint32_t* term = &step.terms[e * 7];
    const uint32_t source = step.parts[0].rows[term[0]];
    EXPECT_EQ(source, graph.train[e].source);
    EXPECT_EQ(step.parts[1].rows[term[1]], graph.train[e].target);
    for (int n = 2; n < 7; ++n) {
      const uint32_t target = step.parts[1].rows[term[n]];
      EXPECT_NE(target, source);
      EXPECT_NE(target, (source + 1) % 40);
      EXPECT_NE(target, (source + 2) % 40);
    }
  }
  MakeLinkPrediction(graph, 4, 5, 7)->Prepare(MakeBatch(all, 1), again);
  EXPECT_EQ(step.terms, again.terms);
  EXPECT_EQ(step.parts[1].keys, again.parts[1].keys);
  model->Prepare(MakeBatch(all, 2), other);
  EXPECT_NE(step.parts[1].rows, other.parts[1].rows);
}

TEST(Link, RowsOfAStepAreDistinctAndKnownByTheirKeys) {
  const PackageGraph graph = MakeRing(40);
  auto model = MakeLinkPrediction(graph, 4, 5, 7);
  SparseStep step;
  for (uint64_t number = 0; number < 3; ++number) {  // the step is reused
    model->Prepare(MakeBatch({3, 4, 5, 3}, number), step);
    for (const SparseStep::Part& part : step.parts) {
      EXPECT_EQ(std::set<uint32_t>(part.rows.begin(), part.rows.end()).size(),
                part.rows.size());
      ASSERT_EQ(part.keys.size(), part.rows.size());
      for (size_t i = 0; i < part.rows.size(); ++i) {
        EXPECT_EQ(part.keys[i], 1000 + part.rows[i]);
      }
    }
  }
}

TEST(Auc, CountsPairsAndHalvesTies) {
  std::vector<std::pair<float, bool>> perfect = {
      {3, true}, {2, true}, {1, false}};
  EXPECT_DOUBLE_EQ(Auc(perfect), 1.0);
  // Positives 2 and 0, negatives 1 and 0: 1 + 1 + 0 + 1/2 of 4 pairs.
  std::vector<std::pair<float, bool>> mixed = {
      {2, true}, {1, false}, {0, true}, {0, false}};
  EXPECT_DOUBLE_EQ(Auc(mixed), 2.5 / 4);
  std::vector<std::pair<float, bool>> same = {{1, true}, {1, false}};
  EXPECT_DOUBLE_EQ(Auc(same), 0.5);
}

// The reference must start where servers start.
TEST(UniformRow, IsWhatServersAnswerForAMissingRow) {
  Initializer initializer;
  initializer.kind = Initializer::Kind::kUniform;
  initializer.a = 0.05f;
  for (uint64_t key : {uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::vector<float> ours(33), theirs(33);
    UniformRow(0.05f, /*seed=*/77, key, absl::MakeSpan(ours));
    initializer.Fill(77, key, theirs.data(), 33);
    EXPECT_EQ(ours, theirs);
  }
}

}  // namespace
}  // namespace paramo
