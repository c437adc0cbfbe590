#include "worker/step/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace paramo {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

const char kGood[] = R"(version: 1
job: fashion
sync: bsp
epochs: 5
seed: 1
workers: 2
data:
  format: idx
  dir: /usr/share/datasets/fashion-mnist
  global_batch: 128
  batches_per_data_shard: 16
model:
  kind: mlp
  layers: [784, 256, 128, 10]
optimizer:
  rule: momentum
  lr: 0.05
tables:
  prefix: fashion
  block: 1024
)";

std::string With(const std::string& from, const std::string& to) {
  std::string text = absl::StrReplaceAll(kGood, {{from, to}});
  EXPECT_NE(text, kGood) << from;
  return text;
}

std::string ErrorOf(const std::string& text) {
  auto job = ParseJobFile(text, "job.yaml");
  EXPECT_FALSE(job.ok());
  if (job.ok()) return "";
  EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(job.status().message());
}

TEST(JobFile, ReadsEveryKey) {
  auto job = ParseJobFile(kGood, "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->job, "fashion");
  EXPECT_EQ(job->sync.ToString(), "bsp");
  EXPECT_EQ(job->epochs, 5u);
  EXPECT_EQ(job->seed, 1u);
  EXPECT_EQ(job->workers, 2u);
  EXPECT_EQ(job->data_dir, "/usr/share/datasets/fashion-mnist");
  EXPECT_EQ(job->global_batch, 128u);
  EXPECT_EQ(job->worker_batch(), 64u);
  EXPECT_EQ(job->batches_per_data_shard, 16u);
  EXPECT_THAT(job->layers, ElementsAre(784, 256, 128, 10));
  EXPECT_EQ(job->rule, "momentum");
  EXPECT_THAT(job->rule_params, ElementsAre(Pair("lr", 0.05)));
  EXPECT_EQ(job->table_prefix, "fashion");
  EXPECT_EQ(job->table_block, 1024u);
  EXPECT_EQ(job->text, kGood);
}

TEST(JobFile, TheExampleOfTheReferenceIsValid) {
  std::ifstream page(PARAMO_SOURCE_DIR "/docs/job_file.md");
  std::string line, example;
  while (std::getline(page, line)) {
    if (line.rfind("    ", 0) == 0) example += line.substr(4) + "\n";
  }
  auto job = ParseJobFile(example, "docs/job_file.md");
  ASSERT_TRUE(job.ok()) << job.status() << "\n" << example;
  EXPECT_EQ(job->job, "fashion");
}

TEST(JobFile, DefaultsAreThoseOfTheReference) {
  auto job = ParseJobFile(
      "version: 1\njob: a\nepochs: 1\nworkers: 1\n"
      "data: {format: idx, dir: /d, global_batch: 8}\n"
      "model: {kind: softmax, layers: [4, 2]}\n"
      "optimizer: {rule: sgd, lr: 1}\n",
      "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->sync.ToString(), "bsp");
  EXPECT_EQ(job->seed, 1u);
  EXPECT_EQ(job->batches_per_data_shard, 4u);
  EXPECT_EQ(job->table_prefix, "a");
  EXPECT_EQ(job->table_block, 4096u);
}

TEST(JobFile, ReadsAsyncAndHyperParameters) {
  auto job = ParseJobFile(With("sync: bsp", "sync: async"), "job.yaml");
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->sync.ToString(), "async");
  job = ParseJobFile(With("rule: momentum\n  lr: 0.05",
                          "{rule: adam, lr: 0.001, beta2: 0.99}"),
                     "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(job->rule_params,
              ElementsAre(Pair("beta2", 0.99), Pair("lr", 0.001)));
}

TEST(JobFile, KnowsEveryRule) {
  for (const char* rule : {"adagrad", "adam", "adamw", "ftrl", "momentum",
                           "nesterov", "rmsprop", "rowwise_adagrad", "sgd"}) {
    const std::string text = absl::StrReplaceAll(kGood, {{"momentum", rule}});
    auto job = ParseJobFile(text, "job.yaml");
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(job->SpecOf("w0", 0).rule.name, rule);
  }
}

TEST(JobFile, ReadsClippingAndSchedule) {
  auto job = ParseJobFile(With("lr: 0.05",
                               "lr: 0.05\n  clipping: {value: 1, norm: 5}\n"
                               "  schedule: {warmup: 500, kind: cosine, "
                               "period: 10000, floor: 0.01}"),
                          "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  const TableSpec spec = job->SpecOf("w0", 0);
  EXPECT_EQ(spec.name, "fashion.w0");
  EXPECT_EQ(spec.clipping.value, 1);
  EXPECT_EQ(spec.clipping.norm, 5);
  EXPECT_EQ(spec.schedule.kind, Schedule::Kind::kCosine);
  EXPECT_EQ(spec.schedule.warmup, 500u);
  EXPECT_EQ(spec.schedule.period, 10000u);
  EXPECT_EQ(spec.schedule.floor, 0.01);
  job = ParseJobFile(With("lr: 0.05",
                          "lr: 0.05\n  schedule: "
                          "{kind: step, period: 9, decay: 0.5}"),
                     "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->schedule.kind, Schedule::Kind::kStep);
  EXPECT_EQ(job->schedule.decay, 0.5);
}

TEST(JobFile, RefusesClippingAndSchedulesThatMeanNothing) {
  for (const char* bad :
       {"clipping: {value: 0}", "clipping: {norm: -1}", "clipping: {}",
        "clipping: 5", "schedule: {kind: cosin, period: 5}",
        "schedule: {kind: cosine}", "schedule: {kind: step, period: 5}",
        "schedule: {kind: step, period: 5, decay: 1.5}",
        "schedule: {kind: step, period: 5, decay: 0.5, floor: 0}",
        "schedule: {period: 5}", "schedule: {warmup: 0}", "schedule: {}"}) {
    EXPECT_THAT(ErrorOf(With("lr: 0.05", absl::StrCat("lr: 0.05\n  ", bad))),
                HasSubstr("job.yaml:18:"))
        << bad;
  }
  EXPECT_THAT(ErrorOf(With("lr: 0.05", "lr: 0.05\n  schedule: {kind: cosin}")),
              HasSubstr("cosine"));
}

// 64 examples of each worker, of local steps of sgd.
std::string Averaging(const std::string& averaging) {
  return absl::StrReplaceAll(kGood, {{"rule: momentum", "rule: sgd"}}) +
         "averaging: " + averaging + "\n";
}

TEST(JobFile, ReadsAveraging) {
  auto job = ParseJobFile(Averaging("{local_steps: 4}"), "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->worker_batch(), 64u);
  EXPECT_EQ(job->step_examples(), 16u);
  EXPECT_EQ(job->LocalRate(0), 0.05f);
  EXPECT_EQ(job->TableRule().name, "sgd");
  EXPECT_THAT(job->TableRule().params, ElementsAre(Pair("lr", 0.05)));
  job = ParseJobFile(
      Averaging("{local_steps: 1, rule: nesterov, lr: 0.5, momentum: 0.8}"),
      "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->step_examples(), 64u);
  EXPECT_EQ(job->TableRule().name, "nesterov");
  EXPECT_THAT(job->TableRule().params,
              ElementsAre(Pair("lr", 0.025), Pair("momentum", 0.8)));
}

TEST(JobFile, LocalStepsFollowTheSchedule) {
  auto job = ParseJobFile(
      absl::StrReplaceAll(Averaging("{local_steps: 4}"),
                          {{"lr: 0.05", "lr: 0.5\n  schedule: {warmup: 4}"}}),
      "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->LocalRate(0), 0.125f);
  EXPECT_EQ(job->LocalRate(3), 0.5f);
}

TEST(JobFile, RefusesAveragingThatCannotBe) {
  const std::string four = Averaging("{local_steps: 4}");
  for (const auto& [text, says] :
       std::vector<std::pair<std::string, std::string>>{
           {Averaging("{}"), "local_steps"},
           {Averaging("{local_steps: 0}"), "local_steps"},
           {Averaging("{local_steps: 3}"), "a multiple of 6"},
           {Averaging("{local_steps: 4, rule: adam}"), "nesterov"},
           {Averaging("{local_steps: 4, lr: 0}"), "lr"},
           {Averaging("{local_steps: 4, momentum: 0.9}"), "momentum"},
           {Averaging("{local_step: 4}"), "did you mean `local_steps`"},
           {absl::StrReplaceAll(four, {{"rule: sgd", "rule: adam"}}),
            "averaging.rule"},
           {absl::StrReplaceAll(four, {{"sync: bsp", "sync: ssp:2"}}),
            "set sync to bsp"},
           {absl::StrReplaceAll(
                four, {{"lr: 0.05", "lr: 0.05\n  clipping: {norm: 1}"}}),
            "clipping"}}) {
    EXPECT_THAT(ErrorOf(text), AllOf(HasSubstr("job.yaml:"), HasSubstr(says)))
        << text;
  }
}

TEST(JobFile, ErrorsNameLineAndSuggestion) {
  EXPECT_THAT(ErrorOf(With("epochs:", "epoch:")),
              HasSubstr("did you mean `epochs`"));
  EXPECT_THAT(ErrorOf(With("seed:", "sede:")),
              AllOf(HasSubstr("job.yaml:5:"), HasSubstr("seed")));
  EXPECT_THAT(ErrorOf(With("  block:", "  blok:")),
              AllOf(HasSubstr("job.yaml:20:"), HasSubstr("block")));
  EXPECT_THAT(ErrorOf(With("seed: 1", "epochs: 1")), HasSubstr("job.yaml:5:"));
  EXPECT_THAT(ErrorOf(With("momentum", "momentun")),
              AllOf(HasSubstr("job.yaml:16:"), HasSubstr("momentum")));
  EXPECT_THAT(ErrorOf(With("lr: 0.05", "lr: 0.05\n  beta1: 0.9")),
              AllOf(HasSubstr("job.yaml:18:"), HasSubstr("beta1")));
}

TEST(JobFile, RefusesValuesOutsideTheirRange) {
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{
           {"version: 1", "version: 2"},
           {"epochs: 5", "epochs: 0"},
           {"seed: 1", "seed: -1"},
           {"workers: 2", "workers: 0"},
           {"workers: 2", "workers: 4097"},
           {"workers: 2", "workers: two"},
           {"format: idx", "format: csv"},
           {"global_batch: 128", "global_batch: 0"},
           {"global_batch: 128", "global_batch: 127"},  // not a multiple of 2
           {"shard: 16", "shard: 0"},
           {"kind: mlp", "kind: cnn"},
           {"kind: mlp", "kind: softmax"},  // with hidden layers
           {"[784, 256, 128, 10]", "[784]"},
           {"[784, 256, 128, 10]", "784"},
           {"[784, 256, 128, 10]", "[784, 0]"},
           {"[784, 256, 128, 10]", "[784, 70000]"},
           {"lr: 0.05", "lr: 0"},
           {"lr: 0.05", "lr: -1"},
           {"lr: 0.05", "lr: .nan"},
           {"lr: 0.05", "lr: .inf"},
           {"lr: 0.05", "lr: 0.1\n  momentum: 1"},
           {"  lr: 0.05\n", ""},
           {"sync: bsp", "sync: ssp"},
           {"job: fashion", "job: Fashion"},
           {"job: fashion", "job: -x"},
           {"job: fashion", "job: a/b"},
           {"prefix: fashion", absl::StrCat("prefix: ", std::string(101, 'a'))},
           {"block: 1024", "block: 0"},
           {"block: 1024", "block: 65537"},
           {"job: fashion\n", ""}}) {
    EXPECT_THAT(ErrorOf(With(from, to)), HasSubstr("job.yaml")) << to;
  }
}

TEST(JobFile, RefusesWhatIsNotAMap) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("job.yaml"));
  EXPECT_THAT(ErrorOf("[1, 2]"), HasSubstr("job.yaml"));
  EXPECT_THAT(ErrorOf(With("optimizer:\n  rule: momentum\n  lr: 0.05",
                           "optimizer: sgd")),
              HasSubstr("job.yaml:15"));
}

const char kLink[] =
    "version: 1\njob: g\nsync: async\nepochs: 1\nworkers: 1\n"
    "data: {format: debgraph, file: /d, global_batch: 8, partition: "
    "contiguous}\n"
    "model: {kind: link, dim: 16, negatives: 3}\n"
    "optimizer: {rule: adagrad, lr: 0.1}\n";

TEST(JobFile, ReadsSparseJobs) {
  auto job = ParseJobFile(kLink, "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_FALSE(job->dense());
  EXPECT_EQ(job->data_format, "debgraph");
  EXPECT_EQ(job->data_file, "/d");
  EXPECT_EQ(job->partition, Partition::kContiguous);
  EXPECT_EQ(job->Plan(10).partition, Partition::kContiguous);
  EXPECT_EQ(job->model_kind, "link");
  EXPECT_EQ(job->dim, 16u);
  EXPECT_EQ(job->negatives, 3u);
  job = ParseJobFile(
      absl::StrReplaceAll(kLink, {{"debgraph", "libsvm"},
                                  {"link, dim: 16, negatives: 3", "logistic"},
                                  {"contiguous", "stratified"}}),
      "job.yaml");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->partition, Partition::kStratified);
  EXPECT_EQ(job->model_kind, "logistic");
}

TEST(JobFile, RefusesKeysOfOtherFormatsAndKinds) {
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{
           {"file: /d", "dir: /d"},
           {"kind: link", "kind: logistic"},
           {"kind: link", "kind: mlp"},
           {"dim: 16", "layers: [1, 2]"},
           {"dim: 16", "dim: 0"},
           {"dim: 16", "dim: 65537"},
           {"negatives: 3", "negatives: 0"},
           {"negatives: 3", "negatives: 1001"},
           {"contiguous", "sorted"},
           {"debgraph", "libsvm"},  // whose model is not link
           {"lr: 0.1}\n", "lr: 0.1}\naveraging: {local_steps: 2}\n"},
           {"lr: 0.1}\n", "lr: 0.1}\ntables: {block: 8}\n"}}) {
    const std::string text = absl::StrReplaceAll(kLink, {{from, to}});
    ASSERT_NE(text, kLink) << from;
    EXPECT_THAT(ErrorOf(text), HasSubstr("job.yaml:")) << to;
  }
}

TEST(JobFile, MissingFileIsNotFound) {
  EXPECT_EQ(ReadJobFile("/nonexistent/job.yaml").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(JobFile, TensorSeedsDifferAndAreNeverZero) {
  JobFile job;
  job.seed = 1;
  EXPECT_NE(job.TensorSeed(0), job.TensorSeed(1));
  uint64_t first = job.TensorSeed(0);
  job.seed = 2;
  EXPECT_NE(job.TensorSeed(0), first);
  EXPECT_NE(job.TensorSeed(0), 0u);
}

}  // namespace
}  // namespace paramo
