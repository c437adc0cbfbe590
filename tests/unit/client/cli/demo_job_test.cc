#include "client/cli/demo_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "common/config/yaml.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;

// A folder with four empty files named as the data set's.
class FakeData {
 public:
  FakeData()
      : dir_(absl::StrCat(testing::TempDir(), "/paramo_demo_job_test: \"x\"",
                          getpid())) {
    std::filesystem::create_directories(dir_);
    for (const char* name :
         {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte",
          "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"}) {
      std::ofstream(dir_ + "/" + name);
    }
  }
  ~FakeData() { std::filesystem::remove_all(dir_); }
  const std::string dir_;
};

TEST(DemoJob, WritesAFileThatReadsBack) {
  FakeData data;
  DemoJob job;
  job.workers = 3;
  job.epochs = 7;
  job.sync = "async";
  job.data = data.dir_;
  auto text = DemoJobFile(job);
  ASSERT_TRUE(text.ok()) << text.status();
  auto root = ParseYaml(*text, "job.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->Find("sync")->text, "async");
  EXPECT_EQ(root->Find("epochs")->text, "7");
  EXPECT_EQ(root->Find("data")->Find("dir")->text, data.dir_);
  // 128 rounded up to what three workers can share.
  EXPECT_EQ(root->Find("data")->Find("global_batch")->text, "129");
}

TEST(DemoJob, SaysHowToGetTheData) {
  DemoJob job;
  job.data = "/nonexistent";
  auto text = DemoJobFile(job);
  EXPECT_THAT(std::string(text.status().message()),
              HasSubstr("apt-get install dataset-fashion-mnist"));
}

TEST(DemoJob, SuggestsAKnownJob) {
  DemoJob job;
  job.name = "fasion";
  EXPECT_THAT(std::string(DemoJobFile(job).status().message()),
              HasSubstr("did you mean `fashion`?"));
}

TEST(DemoJob, GraphIsAsyncAndReadsAFile) {
  FakeData data;
  auto job = FindDemoJob("debgraph");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->sync, "async");
  job->workers = 3;
  job->data = data.dir_ + "/train-labels-idx1-ubyte";
  auto text = DemoJobFile(*job);
  ASSERT_TRUE(text.ok()) << text.status();
  auto root = ParseYaml(*text, "job.yaml");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->Find("data")->Find("file")->text, job->data);
  EXPECT_EQ(root->Find("data")->Find("global_batch")->text, "1026");
  job->data = "/nonexistent";
  EXPECT_EQ(DemoJobFile(*job).status().code(), absl::StatusCode::kNotFound);
}

// Four steps of the size of one, before each round.
TEST(DemoJob, AveragesModels) {
  FakeData data;
  DemoJob job;
  job.workers = 3;
  job.local_steps = 4;
  job.data = data.dir_;
  for (const char* outer : {"sgd", "nesterov"}) {
    job.outer = outer;
    ASSERT_TRUE(CheckDemoJob(job).ok());
    auto text = DemoJobFile(job);
    ASSERT_TRUE(text.ok()) << text.status();
    auto root = ParseYaml(*text, "job.yaml");
    ASSERT_TRUE(root.ok()) << root.status();
    EXPECT_EQ(root->Find("data")->Find("global_batch")->text, "516");
    EXPECT_EQ(root->Find("data")->Find("batches_per_data_shard")->text, "1");
    EXPECT_EQ(root->Find("optimizer")->Find("rule")->text, "sgd");
    EXPECT_EQ(root->Find("averaging")->Find("local_steps")->text, "4");
    EXPECT_EQ(root->Find("averaging")->Find("rule")->text, outer);
  }
}

TEST(DemoJob, AveragesOnlyWhereThereAreRoundsOfWholeModels) {
  DemoJob job;
  job.local_steps = 2;
  for (const char* sync : {"bsp", "bsp+1", "round:2"}) {
    job.sync = sync;
    EXPECT_TRUE(CheckDemoJob(job).ok()) << sync;
  }
  for (const char* sync : {"async", "ssp:2"}) {
    job.sync = sync;
    EXPECT_THAT(std::string(CheckDemoJob(job).message()), HasSubstr(sync));
  }
  job.sync = "bsp";
  job.name = "debgraph";
  EXPECT_THAT(std::string(CheckDemoJob(job).message()), HasSubstr("fashion"));
  job.local_steps = 0;
  EXPECT_TRUE(CheckDemoJob(job).ok());
  job.outer = "nesterov";
  EXPECT_THAT(std::string(CheckDemoJob(job).message()),
              HasSubstr("--local-steps"));
}

TEST(DemoJob, PassesOnlyNearTheReference) {
  DemoJob bsp;
  EXPECT_TRUE(Passes(bsp, 0.880, 0.875));
  EXPECT_FALSE(Passes(bsp, 0.860, 0.875));
  EXPECT_FALSE(Passes(bsp, 0.890, 0.875));
  EXPECT_FALSE(Passes(bsp, std::nan(""), 0.875));
  DemoJob async;
  async.sync = "async";
  EXPECT_TRUE(Passes(async, 0.890, 0.875));
  EXPECT_FALSE(Passes(async, 0.860, 0.875));
}

}  // namespace
}  // namespace paramo::cli
