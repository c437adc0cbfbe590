// What workers and servers train together equals what one process trains,
// weight by weight.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

using ::testing::HasSubstr;

// Two workers train a job on a cluster of its own; the file of its weights.
class TrainingTest : public ::testing::Test {
 protected:
  std::string Job(const std::string& name, const std::string& rest) {
    return dir_.Write(
        name + ".yaml",
        absl::StrCat("version: 1\njob: ", name,
                     "\nsync: bsp\nepochs: 1\nseed: 3\nworkers: 2\n"
                     "data: {format: idx, dir: "
                     "/usr/share/datasets/fashion-mnist, global_batch: 256, "
                     "batches_per_data_shard: 7}\n",
                     rest, "\n"));
  }
  std::string Train(const std::string& job) {
    const std::string weights = job + ".npz";
    std::vector<std::unique_ptr<cli::Process>> workers;
    for (int i = 0; i < 2; ++i) {
      workers.push_back(StartBinary(
          "paramo-worker",
          {"--job", job, "--address", cluster_.coordinator().address(),
           "--save-weights", weights},
          absl::StrCat(dir_.path(), "/worker-", i)));
    }
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(workers[i]->WaitFor(absl::Seconds(60)));
      EXPECT_TRUE(workers[i]->succeeded())
          << workers[i]->Outcome() << "\n"
          << ReadWholeFile(absl::StrCat(dir_.path(), "/worker-", i));
    }
    return weights;
  }
  std::string Reference(const std::string& job) {
    const std::string weights = job + ".reference.npz";
    const Ran reference =
        RunBinary("paramo-worker",
                  {"--reference", "--job", job, "--save-weights", weights}, {},
                  absl::Seconds(60));
    EXPECT_EQ(reference.outcome, "exit status 0") << reference.output;
    return weights;
  }
  // What compare_weights.py says of the two.
  std::string ExpectNear(const std::string& a, const std::string& b,
                         const char* relative) {
    cli::ProcessOptions compare;
    compare.name = "compare";
    compare.argv = {"/usr/bin/python3",
                    PARAMO_SOURCE_DIR "/tests/e2e/compare_weights.py", a, b,
                    relative};
    compare.log_file = dir_.path() + "/compare.log";
    auto python = cli::Process::Start(compare);
    if (!python.ok()) return python.status().ToString();
    EXPECT_TRUE((*python)->WaitFor(absl::Seconds(30)));
    EXPECT_TRUE((*python)->succeeded()) << ReadWholeFile(compare.log_file);
    return ReadWholeFile(compare.log_file);
  }

  const TempDir dir_;
  TestCluster cluster_;
};

constexpr char kMlp[] = "model: {kind: mlp, layers: [784, 64, 10]}\n";

TEST_F(TrainingTest, BspWeightsEqualTheReferences) {
  const std::string job =
      Job("exact", absl::StrCat(kMlp, "optimizer: {rule: adam, lr: 0.001}"));
  EXPECT_THAT(ExpectNear(Train(job), Reference(job), "1e-4"),
              HasSubstr("w1 (64, 10)"));

  // What a user exports is what the worker saved.
  const Ran exported = RunBinary(
      "paramo", {"table", "export", "exact.w1", dir_.path() + "/w1.npz",
                 "--address", cluster_.coordinator().address()});
  EXPECT_EQ(exported.outcome, "exit status 0") << exported.output;
  EXPECT_GT(ReadWholeFile(dir_.path() + "/w1.npz").size(), 64u * 10 * 4);
}

// Rows of 1,000 leave the last one of w0 shorter than the others.
TEST_F(TrainingTest, EveryRuleScheduledAndClippedEqualsTheReference) {
  for (const std::string rule :
       {"adagrad", "adamw", "ftrl", "momentum", "nesterov", "rmsprop",
        "rowwise_adagrad", "sgd"}) {
    const std::string job =
        Job(absl::StrReplaceAll(rule, {{"_", "-"}}),
            absl::StrCat("model: {kind: softmax, layers: [784, 10]}\n"
                         "optimizer: {rule: ",
                         rule,
                         ", lr: 0.01, clipping: {value: 0.05, norm: 0.2}, "
                         "schedule: {warmup: 20, kind: cosine, period: 200, "
                         "floor: 0.1}}\n"
                         "tables: {block: 1000}"));
    EXPECT_THAT(ExpectNear(Train(job), Reference(job), "1e-4"),
                HasSubstr("w0 (784, 10)"))
        << rule;
  }
}

TEST_F(TrainingTest, OneLocalStepIsBspToTheLastBit) {
  const std::string model =
      absl::StrCat(kMlp, "optimizer: {rule: sgd, lr: 0.1}\n");
  const std::string bsp = Train(Job("bsp", model));
  const std::string averaged = Train(
      Job("averaged", absl::StrCat(model, "averaging: {local_steps: 1}")));
  EXPECT_THAT(ExpectNear(averaged, bsp, "0"), HasSubstr("w1 (64, 10)"));
}

TEST_F(TrainingTest, LocalStepsEqualTheReferences) {
  for (const std::string outer :
       {"rule: sgd", "rule: nesterov, lr: 0.5, momentum: 0.5"}) {
    const std::string job =
        Job(outer == "rule: sgd" ? "plain" : "ahead",
            absl::StrCat(kMlp,
                         "optimizer: {rule: sgd, lr: 0.1, schedule: {warmup: "
                         "20}}\naveraging: {local_steps: 4, ",
                         outer, "}"));
    EXPECT_THAT(ExpectNear(Train(job), Reference(job), "1e-4"),
                HasSubstr("w1 (64, 10)"));
  }
}

}  // namespace
}  // namespace paramo::test
