#include "client/cli/demo_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  FakeData() : dir_(testing::TempDir() + "/paramo_demo_job_test: \"x\"") {
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
