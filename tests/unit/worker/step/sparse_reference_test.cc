#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "worker/step/reference.h"
#include "worker/step/weights_file.h"
#include "worker/step/workload.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

class SparseReferenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/paramo_sparse_XXXXXX";
    directory_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  absl::StatusOr<Workload> Open(const std::string& format,
                                const std::string& data,
                                const std::string& model, int workers = 2) {
    return OpenWorkload(Write(
        "job.yaml",
        absl::StrCat(
            "version: 1\njob: a\nsync: async\nepochs: 4\nworkers: ", workers,
            "\ndata: {format: ", format, ", file: ", Write("data", data),
            ", global_batch: 32}\nmodel: ", model,
            "\noptimizer: {rule: adagrad, lr: 0.2}\n")));
  }
  static absl::StatusOr<ReferenceResult> Train(Workload& work,
                                               size_t* epochs = nullptr) {
    return TrainSparseReference(work.job, *work.sparse, *work.train,
                                [&](const ReferenceEpoch&) {
                                  if (epochs != nullptr) ++*epochs;
                                });
  }

  std::string directory_;
};

// Features 1 to 20 vote for +1, 21 to 40 for -1.
std::string Votes() {
  BitGen random(5);
  std::string text;
  for (int e = 0; e < 600; ++e) {
    const bool label = random.Below(2) == 0;
    absl::StrAppend(&text, label ? "+1" : "-1");
    uint64_t feature = 0;
    for (int f = 0; f < 3; ++f) {
      feature += 1 + random.Below(6);
      absl::StrAppend(&text, " ", feature + (label ? 0 : 20), ":1");
    }
    text += "\n";
  }
  return text;
}

// 10 groups of 30 packages; one needs 6 others of its group.
std::string Groups() {
  BitGen random(6);
  std::string text;
  for (int p = 0; p < 300; ++p) {
    absl::StrAppend(&text, "Package: p", p, "\nDepends: p", p - p % 30);
    for (int d = 0; d < 6; ++d) {
      absl::StrAppend(&text, ", p", p - p % 30 + random.Below(30));
    }
    text += "\n\n";
  }
  return text;
}

TEST_F(SparseReferenceTest, LogisticRegressionLearns) {
  auto work = Open("libsvm", Votes(), "{kind: logistic}");
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_STREQ(work->metric_name, "held_out_auc");
  size_t epochs = 0;
  auto result = Train(*work, &epochs);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(epochs, 4u);
  EXPECT_GT(result->metric, 0.99);
  EXPECT_LT(result->loss, 0.4);
}

TEST_F(SparseReferenceTest, LinkPredictionLearns) {
  auto work = Open("debgraph", Groups(), "{kind: link, dim: 8}");
  ASSERT_TRUE(work.ok()) << work.status();
  work->job.epochs = 40;
  auto result = Train(*work);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->metric, 0.9);
}

TEST_F(SparseReferenceTest, IsRepeatable) {
  auto work = Open("debgraph", Groups(), "{kind: link, dim: 8}");
  ASSERT_TRUE(work.ok());
  auto again = Open("debgraph", Groups(), "{kind: link, dim: 8}");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(Train(*work)->weights, Train(*again)->weights);
}

// A round is the mean over its examples, however many workers share them.
TEST_F(SparseReferenceTest, ARoundDoesNotDependOnWhoHasWhichHalf) {
  auto rounds = [&](int workers) {
    auto work = Open("libsvm", Votes(), "{kind: logistic}", workers);
    EXPECT_TRUE(work.ok()) << work.status();
    work->job.epochs = 1;
    // One data shard per worker: round 0 of both is the same 32 examples only
    // if a shard is one batch.
    work->job.batches_per_data_shard = 1;
    return Train(*work)->weights;
  };
  const auto one = rounds(1);
  const auto two = rounds(2);
  ASSERT_EQ(one.size(), two.size());
  for (size_t t = 0; t < one.size(); ++t) {
    for (size_t i = 0; i < one[t].size(); ++i) {
      EXPECT_NEAR(one[t][i], two[t][i], 1e-3);
    }
  }
}

TEST_F(SparseReferenceTest, SavesRowsUnderTheirTable) {
  auto work = Open("libsvm", Votes(), "{kind: logistic}");
  ASSERT_TRUE(work.ok());
  auto result = Train(*work);
  ASSERT_TRUE(result.ok());
  std::vector<absl::Span<const float>> rows(result->weights.begin(),
                                            result->weights.end());
  const std::string file = directory_ + "/w.npz";
  ASSERT_TRUE(SaveRows(file, *work->sparse, rows).ok());
  std::ifstream in(file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(bytes, HasSubstr("weight_keys.npy"));
  EXPECT_THAT(bytes, HasSubstr("bias_values.npy"));
}

TEST_F(SparseReferenceTest, RefusesHeldOutExamplesOfOneLabel) {
  std::string same;
  for (int i = 0; i < 200; ++i) same += "+1 1:1\n";
  EXPECT_THAT(
      std::string(Open("libsvm", same, "{kind: logistic}").status().message()),
      HasSubstr("have the same label"));
}

}  // namespace
}  // namespace paramo
