#include "worker/step/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "worker/step/weights_file.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

// One image of 2 x 1 pixels, for both sets.
class WorkloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/paramo_workload_XXXXXX";
    directory_ = mkdtemp(name);
    for (const char* set : {"train", "t10k"}) {
      Write(std::string(set) + "-images-idx3-ubyte",
            std::string("\0\0\x08\x03\0\0\0\1\0\0\0\2\0\0\0\1\7\x09", 18));
      Write(std::string(set) + "-labels-idx1-ubyte",
            std::string("\0\0\x08\x01\0\0\0\1\1", 9));
    }
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
  }
  absl::StatusOr<Workload> Open(const std::string& layers) {
    Write(
        "job.yaml",
        "version: 1\njob: a\nepochs: 1\nworkers: 1\ndata: {format: idx, dir: " +
            directory_ + ", global_batch: 1}\nmodel: {kind: mlp, layers: " +
            layers + "}\noptimizer: {rule: sgd, lr: 0.1}\n");
    return OpenWorkload(directory_ + "/job.yaml");
  }

  std::string directory_;
};

TEST_F(WorkloadTest, OpensWhatTheJobFileNames) {
  auto work = Open("[2, 3]");
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->train->examples(), 1u);
  EXPECT_EQ(work->model->tensors().size(), 2u);
}

TEST_F(WorkloadTest, RefusesAModelThatDoesNotFitTheData) {
  auto work = Open("[784, 3]");
  EXPECT_EQ(work.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(work.status().message(), HasSubstr("2 features"));
  EXPECT_THAT(Open("[2, 1]").status().message(),
              HasSubstr("not below the 1 classes"));
}

TEST_F(WorkloadTest, SavesWeightsUnderTheirNames) {
  auto work = Open("[2, 3]");
  ASSERT_TRUE(work.ok());
  std::vector<float> w(6, 0.5f), b(3);
  std::vector<absl::Span<const float>> weights = {w, b};
  const std::string file = directory_ + "/w.npz";
  ASSERT_TRUE(SaveWeights(file, *work->model, weights).ok());
  std::ifstream in(file, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(bytes, HasSubstr("w0.npy"));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 3)"));
  EXPECT_THAT(bytes, HasSubstr("b0.npy"));
  EXPECT_FALSE(
      SaveWeights(directory_ + "/none/w.npz", *work->model, weights).ok());
}

}  // namespace
}  // namespace paramo
