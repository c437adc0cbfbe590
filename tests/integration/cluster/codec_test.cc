// Values in every codec on real servers: as clients use them, over failover,
// and over a restart of everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <map>

#include "common/base/random.h"
#include "common/codec/codec.h"
#include "tests/integration/cluster/counted_cluster.h"

namespace paramo::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kSeed = 31;
constexpr uint32_t kDim = 4;
constexpr uint64_t kKeys = 60;

// 127, -64 and 0 are exact in every codec; 0.3 is rounded at random in int8,
// where a step is 1.
constexpr float kGradient[kDim] = {127, -64, 0, 0.3f};

class CodecClusterTest : public LoadedClusterTest {
 protected:
  CodecClusterTest() : LoadedClusterTest({.servers = 3, .replicas = 2}) {
    for (uint64_t key = 0; key < kKeys; ++key) {
      keys_.push_back(key);
      grads_.insert(grads_.end(), kGradient, kGradient + kDim);
    }
    for (const Codec& codec : ListCodecs()) {
      tables_.emplace(codec.name, Make(codec.name, codec.name));
    }
  }

  Table Make(const std::string& name, const std::string& codec) {
    TableSpec spec;
    spec.name = name;
    spec.dim = kDim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    spec.codec = codec;
    auto table = client_->CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    return *table;
  }
  std::vector<float> Rows(const Table& table, const std::string& codec = "") {
    std::vector<float> rows(keys_.size() * kDim);
    const Status pulled = table.Pull(keys_, rows, {.codec = codec});
    EXPECT_TRUE(pulled.ok()) << pulled.ToString();
    return rows;
  }
  // To each table in turn.
  Result<PushAck> PushOnce() override {
    Result<PushAck> ack = PushAck();
    for (const auto& [name, table] : tables_) {
      ack = table.Push(keys_, grads_);
      if (!ack.ok()) break;
    }
    return ack;
  }

  std::map<std::string, Table> tables_;  // by codec
  std::vector<uint64_t> keys_;
  std::vector<float> grads_;
};

TEST_F(CodecClusterTest, EveryServerDiesInTurnAndEveryPushCountsOnce) {
  ASSERT_TRUE(WaitUntil([&] { return InSync(2); }));
  StartLoad();
  for (int victim = 0; victim < 3; ++victim) {
    WaitForPushes(10);
    EXPECT_EQ(cluster_.StopServer(victim, SIGKILL),
              "killed by signal 9 (Killed)");
    WaitForPushes(10);
    cluster_.StartServer(victim);
    EXPECT_TRUE(WaitUntil([&] { return InSync(2); })) << victim;
  }
  StopLoad();
  const auto n = static_cast<float>(pushed());
  for (const auto& [name, table] : tables_) {
    const std::vector<float> rows = Rows(table, "f32");
    double sum = 0;
    for (size_t i = 0; i < rows.size(); i += kDim) {
      ASSERT_EQ(rows[i], -127 * n) << name << " key " << i / kDim;
      ASSERT_EQ(rows[i + 1], 64 * n);
      ASSERT_EQ(rows[i + 2], 0);
      sum -= rows[i + 3];
    }
    // Without bias over keys and pushes, of which each may be a step off: five
    // standard errors. The halves' own error is some 1e-3 of 0.3.
    const double mean = sum / (n * kKeys);
    EXPECT_NEAR(mean, 0.3, 5 * 0.46 / std::sqrt(n * kKeys) + 1e-3) << name;
  }
  // All servers lose their memory: the log decodes to the same bits.
  std::map<std::string, std::vector<float>> rows;
  for (const auto& [name, table] : tables_) rows[name] = Rows(table, "f32");
  for (int i = 0; i < 3; ++i) cluster_.StopServer(i, SIGKILL);
  for (int i = 0; i < 3; ++i) cluster_.StartServer(i);
  cluster_.WaitUntilUp();
  for (const auto& [name, table] : tables_) {
    EXPECT_EQ(Rows(table, "f32"), rows[name]) << name;
  }
}

TEST_F(CodecClusterTest, ARequestsCodecGoesBeforeItsTables) {
  const Table& table = tables_.at("f32");
  const std::vector<uint64_t> key = {7};
  // 1 + 2^-9 is 1 in bf16.
  const std::vector<float> grad = {1 + 0x1p-9f, 1 + 0x1p-9f, 0, -1 - 0x1p-9f};
  std::vector<float> row(kDim);
  ASSERT_TRUE(table.Push(key, grad, {.codec = "bf16"}).ok());
  ASSERT_TRUE(table.Pull(key, row).ok());
  EXPECT_THAT(row, ElementsAre(-1, -1, 0, 1));
  ASSERT_TRUE(table.Push(key, grad).ok());
  ASSERT_TRUE(table.Pull(key, row).ok());
  EXPECT_THAT(row, ElementsAre(-2 - 0x1p-9f, -2 - 0x1p-9f, 0, 2 + 0x1p-9f));
  ASSERT_TRUE(table.Pull(key, row, {.codec = "bf16"}).ok());
  EXPECT_THAT(row, ElementsAre(-2, -2, 0, 2));
  // Both ways in one.
  ASSERT_TRUE(table.PushPull(key, grad, key, row, {.codec = "bf16"}).ok());
  EXPECT_THAT(row, ElementsAre(-3, -3, 0, 3));
}

TEST_F(CodecClusterTest, ATablesCodecIsWhatItsRequestsUse) {
  const auto other = cluster_.Connect();
  auto opened = other->OpenTable("int8");
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened->info().spec.codec, "int8");
  ASSERT_TRUE(tables_.at("f32").Push(keys_, grads_).ok());  // connects
  const ClusterStats before = client_->stats();
  ASSERT_TRUE(tables_.at("int8").Push(keys_, grads_).ok());
  const ClusterStats between = client_->stats();
  ASSERT_TRUE(tables_.at("f32").Push(keys_, grads_).ok());
  const ClusterStats after = client_->stats();
  // 60 rows: 16 bytes less 4 + 4.
  EXPECT_EQ((after.bytes_sent - between.bytes_sent) -
                (between.bytes_sent - before.bytes_sent),
            kKeys * 8);
}

TEST_F(CodecClusterTest, TensorsGoWholeAndTheirFirstValuesExactly) {
  TableSpec spec;
  spec.name = "dense";
  spec.shape = {19, 7};
  spec.dim = 10;
  spec.rule = {"sgd", {{"lr", 1.0}}};
  spec.codec = "int8";
  auto tensor = client_->CreateTensor(spec);
  ASSERT_TRUE(tensor.ok()) << tensor.status().ToString();
  BitGen gen(kSeed);
  std::vector<float> values(19 * 7), pulled(19 * 7);
  for (float& value : values) value = static_cast<float>(gen.Uniform() - 0.5);
  const PushPart first = PushPart(*tensor, values).AsInitial();
  ASSERT_TRUE(client_->Push({&first, 1}).ok());
  ASSERT_TRUE(tensor->Pull(pulled, {.codec = "f32"}).ok());
  EXPECT_EQ(pulled, values);
  ASSERT_TRUE(tensor->Push(std::vector<float>(19 * 7, 127)).ok());
  ASSERT_TRUE(tensor->Pull(pulled, {.codec = "f32"}).ok());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(pulled[i], values[i] - 127);
  }
  std::vector<float> about(19 * 7);
  ASSERT_TRUE(tensor->Pull(about).ok());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(about[i], pulled[i], 0.51);  // half a step of 127.5 / 127
  }
}

TEST_F(CodecClusterTest, AnUnknownCodecIsRefusedBeforeAnythingIsSent) {
  const Table& table = tables_.at("f32");
  const ClusterStats before = client_->stats();
  const Status pushed = table.Push(keys_, grads_, {.codec = "f64"}).status();
  EXPECT_EQ(pushed.code(), Code::kInvalidArgument);
  EXPECT_EQ(pushed.applied(), Applied::kNo);
  EXPECT_THAT(pushed.ToString(), HasSubstr("use one of f32 (0), f16 (1)"));
  std::vector<float> rows(keys_.size() * kDim);
  EXPECT_EQ(table.Pull(keys_, rows, {.codec = "f64"}).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(client_->stats().requests, before.requests);
  TableSpec spec;
  spec.name = "no";
  spec.dim = 1;
  spec.codec = "f64";
  EXPECT_EQ(client_->CreateTable(spec).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace paramo::test
