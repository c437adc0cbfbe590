// The client library against a real cluster: tables, tensors, pushes, pulls.
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "common/base/random.h"
#include "paramo/cluster.h"
#include "tests/integration/client/local_cluster.h"

namespace paramo {
namespace {

class ClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { servers_ = new LocalCluster(3); }
  static void TearDownTestSuite() {
    delete servers_;
    servers_ = nullptr;
  }

  void SetUp() override {
    ConnectOptions options;
    options.addresses = servers_->address();
    auto cluster = Cluster::Connect(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
    cluster_ = *std::move(cluster);
  }

  // sgd with lr 1: a row is minus the sum of its gradients, exact for
  // integers.
  static TableSpec Sgd(const std::string& name, uint32_t dim) {
    TableSpec spec;
    spec.name = name;
    spec.dim = dim;
    spec.rule = {"sgd", {{"lr", 1.0}}};
    spec.seed = 5;
    return spec;
  }
  Table Make(const std::string& name, uint32_t dim) {
    auto table = cluster_->CreateTable(Sgd(name, dim));
    EXPECT_TRUE(table.ok()) << table.status().ToString();
    return *table;
  }

  static LocalCluster* servers_;
  std::unique_ptr<Cluster> cluster_;
};

LocalCluster* ClientTest::servers_ = nullptr;

TEST_F(ClientTest, RowsAreTheSumsOfTheirGradients) {
  const uint32_t dim = 3;
  const Table table = Make("sums", dim);
  std::map<uint64_t, std::vector<float>> expected;
  BitGen gen(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<uint64_t> keys(300);
    for (uint64_t& key : keys) key = gen.Below(500);  // many duplicates
    std::vector<float> grads(keys.size() * dim);
    for (float& grad : grads) grad = static_cast<float>(gen.Below(9)) - 4;
    for (size_t i = 0; i < keys.size(); ++i) {
      auto& row = expected[keys[i]];
      row.resize(dim);
      for (uint32_t d = 0; d < dim; ++d) row[d] -= grads[i * dim + d];
    }
    auto ack = table.Push(keys, grads);
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    EXPECT_GT(ack->applied, 0u);
    EXPECT_EQ(ack->replicas, 1u);
    EXPECT_EQ(ack->rows_skipped, 0u);
  }
  // Twice each, and keys never pushed among them.
  std::vector<uint64_t> keys;
  for (uint64_t key = 0; key < 1000; ++key) keys.push_back(key % 700);
  std::vector<float> rows(keys.size() * dim, -99);
  const Status pulled = table.Pull(keys, rows);
  ASSERT_TRUE(pulled.ok()) << pulled.ToString();
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::vector<float> row(rows.begin() + i * dim,
                                 rows.begin() + (i + 1) * dim);
    auto found = expected.find(keys[i]);
    EXPECT_EQ(row, found == expected.end() ? std::vector<float>(dim, 0)
                                           : found->second)
        << "key " << keys[i];
  }
}

TEST_F(ClientTest, APullSeesEveryPushAnsweredBefore) {
  const Table table = Make("visible", 1);
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5};
  std::vector<float> rows(keys.size());
  for (int i = 1; i <= 200; ++i) {
    ASSERT_TRUE(table.Push(keys, std::vector<float>(keys.size(), 1)).ok());
    ASSERT_TRUE(table.Pull(keys, rows).ok());
    ASSERT_EQ(rows, std::vector<float>(keys.size(), -i));
  }
}

TEST_F(ClientTest, APushPullSeesItsPush) {
  const Table table = Make("push-pull", 2);
  const std::vector<uint64_t> keys = {10, 20, 30};
  const std::vector<uint64_t> wanted = {30, 40, 10};
  std::vector<float> rows(6);
  for (int i = 1; i <= 50; ++i) {
    auto ack = table.PushPull(keys, std::vector<float>(6, 2), wanted, rows);
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    const float row = -2.0f * i;
    ASSERT_EQ(rows, (std::vector<float>{row, row, 0, 0, row, row}));
  }
}

TEST_F(ClientTest, ManyPushesInFlightAllCount) {
  const Table table = Make("flood", 4);
  // 200 at once: more than the session window on every shard.
  std::vector<uint64_t> keys(100);
  std::iota(keys.begin(), keys.end(), uint64_t{0});
  const std::vector<float> grads(keys.size() * 4, 1);
  std::vector<Future<Result<PushAck>>> acks;
  for (int i = 0; i < 200; ++i) acks.push_back(table.PushAsync(keys, grads));
  const Status flushed = cluster_->Flush();
  EXPECT_TRUE(flushed.ok()) << flushed.ToString();
  for (auto& ack : acks) {
    EXPECT_TRUE(ack.ready());
    auto result = ack.get();
    EXPECT_TRUE(result.ok()) << result.status().ToString();
  }
  std::vector<float> rows(grads.size());
  ASSERT_TRUE(table.Pull(keys, rows).ok());
  EXPECT_EQ(rows, std::vector<float>(grads.size(), -200));
}

TEST_F(ClientTest, TensorsOfAnySizeComeBackWhole) {
  BitGen gen(2);
  // 6 M elements are 24 MB: several requests per server. 1025 is a block and
  // one element; 3 is less than a block.
  for (uint64_t size : {3u, 1024u, 1025u, 100000u, 6000000u}) {
    TableSpec spec = Sgd("tensor-" + std::to_string(size), 0);
    spec.shape = {size};
    auto tensor = cluster_->CreateTensor(spec);
    ASSERT_TRUE(tensor.ok()) << tensor.status().ToString();
    EXPECT_EQ(tensor->size(), size);
    std::vector<float> grads(size);
    for (float& grad : grads) grad = static_cast<float>(gen.Below(1000));
    auto ack = tensor->Push(grads);
    ASSERT_TRUE(ack.ok()) << ack.status().ToString();
    std::vector<float> values(size, 7);
    const Status pulled = tensor->Pull(values);
    ASSERT_TRUE(pulled.ok()) << pulled.ToString();
    for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(values[i], -grads[i]) << i;
  }
}

TEST_F(ClientTest, SeveralTablesGoInOneRequestPerServer) {
  const Table a = Make("several-a", 2);
  const Table b = Make("several-b", 5);
  TableSpec spec = Sgd("several-t", 0);
  spec.shape = {20, 30};
  const Tensor t = *cluster_->CreateTensor(spec);
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> grads_a(16, 1), grads_b(40, 2), grads_t(600, 3);
  ASSERT_TRUE(a.Push(keys, grads_a).ok());  // opens the session
  const uint64_t before = cluster_->stats().requests;
  const std::vector<PushPart> pushes = {
      {a, keys, grads_a}, {b, keys, grads_b}, {t, grads_t}};
  auto ack = cluster_->Push(pushes);
  ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  EXPECT_LE(cluster_->stats().requests - before, 3u);

  std::vector<float> rows_a(16), rows_b(40), values_t(600);
  const std::vector<PullPart> pulls = {
      {a, keys, rows_a}, {b, keys, rows_b}, {t, values_t}};
  const Status pulled = cluster_->Pull(pulls);
  ASSERT_TRUE(pulled.ok()) << pulled.ToString();
  EXPECT_EQ(rows_a, std::vector<float>(16, -2));
  EXPECT_EQ(rows_b, std::vector<float>(40, -2));
  EXPECT_EQ(values_t, std::vector<float>(600, -3));
}

TEST_F(ClientTest, NothingIsPushedAndPulledAtOnce) {
  const Table table = Make("nothing", 2);
  EXPECT_TRUE(table.Push({}, {}).ok());
  EXPECT_TRUE(table.Pull({}, {}).ok());
}

// ---- Refusals ---------------------------------------------------------------

TEST_F(ClientTest, WrongSizesAreRefusedBeforeAnythingIsSent) {
  const Table table = Make("sizes", 4);
  const std::vector<uint64_t> keys = {1, 2};
  std::vector<float> seven(7);
  auto ack = table.Push(keys, seven);
  EXPECT_EQ(ack.status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ack.status().applied(), Applied::kNo);
  EXPECT_EQ(ack.status().table(), "sizes");
  EXPECT_EQ(table.Pull(keys, seven).code(), Code::kInvalidArgument);
}

TEST_F(ClientTest, ARefusedPushSaysSoAndHoldsNothingUp) {
  const Table table = Make("nan", 1);
  const std::vector<uint64_t> keys = {1};
  const std::vector<float> bad = {std::numeric_limits<float>::quiet_NaN()};
  for (int i = 0; i < 40; ++i) {  // more than the window
    auto ack = table.Push(keys, bad);
    ASSERT_EQ(ack.status().code(), Code::kInvalidArgument)
        << ack.status().ToString();
    EXPECT_EQ(ack.status().applied(), Applied::kNo);
    EXPECT_NE(ack.status().hint().find("NaN"), std::string::npos);
  }
  ASSERT_TRUE(table.Push(keys, std::vector<float>{3}).ok());
  std::vector<float> row(1);
  ASSERT_TRUE(table.Pull(keys, row).ok());
  EXPECT_EQ(row[0], -3);
}

TEST_F(ClientTest, ARefusalOnOneShardIsPartlyApplied) {
  const Table table = Make("partly", 1);
  std::vector<uint64_t> keys(64);
  std::iota(keys.begin(), keys.end(), uint64_t{0});
  std::vector<float> grads(64, 1);
  grads[10] = std::numeric_limits<float>::infinity();
  auto ack = table.Push(keys, grads);
  EXPECT_EQ(ack.status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ack.status().applied(), Applied::kPartly);
}

TEST_F(ClientTest, CreatingAnEqualTableOpensItAndAnotherShowsTheDifference) {
  Make("twice", 4);
  EXPECT_TRUE(cluster_->CreateTable(Sgd("twice", 4)).ok());
  auto other = cluster_->CreateTable(Sgd("twice", 8));
  EXPECT_EQ(other.status().code(), Code::kAlreadyExists);
  EXPECT_NE(other.status().message().find("dim"), std::string::npos)
      << other.status().ToString();
}

TEST_F(ClientTest, UnknownTablesAreNotFound) {
  EXPECT_EQ(cluster_->OpenTable("nowhere").status().code(), Code::kNotFound);
  EXPECT_EQ(cluster_->DropTable("nowhere").code(), Code::kNotFound);
  Make("sparse", 4);
  EXPECT_EQ(cluster_->OpenTensor("sparse").status().code(),
            Code::kInvalidArgument);
}

TEST_F(ClientTest, ADroppedTableIsNotFoundAndOthersGoOn) {
  const Table gone = Make("gone", 1);
  const Table kept = Make("kept", 1);
  const std::vector<uint64_t> keys = {1, 2, 3};
  const std::vector<float> grads(3, 1);
  ASSERT_TRUE(gone.Push(keys, grads).ok());
  ASSERT_TRUE(cluster_->DropTable("gone").ok());
  auto ack = gone.Push(keys, grads);
  EXPECT_EQ(ack.status().code(), Code::kNotFound) << ack.status().ToString();
  EXPECT_EQ(ack.status().applied(), Applied::kNo);
  EXPECT_TRUE(kept.Push(keys, grads).ok());
}

TEST_F(ClientTest, AnAlteredRuleTakesEffectForOpenHandles) {
  const Table table = Make("altered", 1);
  const std::vector<uint64_t> keys = {9};
  ASSERT_TRUE(table.Push(keys, std::vector<float>{1}).ok());
  TableChanges changes;
  changes.rule = UpdateRule{"sgd", {{"lr", 0.5}}};
  auto info = cluster_->AlterTable("altered", changes);
  ASSERT_TRUE(info.ok()) << info.status().ToString();
  EXPECT_EQ(info->version, 2u);
  ASSERT_TRUE(table.Push(keys, std::vector<float>{1}).ok());
  std::vector<float> row(1);
  ASSERT_TRUE(table.Pull(keys, row).ok());
  EXPECT_EQ(row[0], -1.5f);
  auto tables = cluster_->ListTables();
  ASSERT_TRUE(tables.ok());
  bool listed = false;
  for (const TableInfo& t : *tables) {
    listed |= t.spec.name == "altered" && t.spec.rule.params.at("lr") == 0.5;
  }
  EXPECT_TRUE(listed);
}

// ---- What acts on gradients -------------------------------------------------

TEST_F(ClientTest, AScheduleFollowsTheClockOfEachPush) {
  TableSpec spec;
  spec.name = "scheduled";
  spec.dim = 1;
  spec.rule = {"sgd", {{"lr", 1}}};
  spec.schedule = {Schedule::Kind::kStep, /*warmup=*/2, /*period=*/3,
                   /*decay=*/0.5, /*floor=*/0};
  auto table = cluster_->CreateTable(spec);
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  const std::vector<uint64_t> keys = {9};
  std::vector<float> row(1);
  // Up to 1 in two clocks; then halved every three: clock, value afterwards.
  const std::pair<uint64_t, float> steps[] = {
      {0, -0.5f}, {1, -1.5f}, {4, -2.5f}, {5, -3}, {8, -3.25f}};
  for (const auto& [clock, after] : steps) {
    PushOptions options;
    options.clock = clock;
    ASSERT_TRUE(table->Push(keys, std::vector<float>{1}, options).ok());
    ASSERT_TRUE(table->Pull(keys, row).ok());
    EXPECT_EQ(row[0], after) << "clock " << clock;
  }
  TableChanges changes;
  changes.schedule = Schedule();
  ASSERT_TRUE(cluster_->AlterTable("scheduled", changes).ok());
  ASSERT_TRUE(table->Push(keys, std::vector<float>{1}).ok());
  ASSERT_TRUE(table->Pull(keys, row).ok());
  EXPECT_EQ(row[0], -4.25f);
}

TEST_F(ClientTest, RowsAreClippedByNorm) {
  TableSpec spec;
  spec.name = "clipped";
  spec.dim = 2;
  spec.rule = {"sgd", {{"lr", 1}}};
  spec.clipping.norm = 5;
  auto table = cluster_->CreateTable(spec);
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  const std::vector<uint64_t> keys = {1, 2};
  ASSERT_TRUE(table->Push(keys, std::vector<float>{30, 40, 0, 4}).ok());
  std::vector<float> rows(4);
  ASSERT_TRUE(table->Pull(keys, rows).ok());
  EXPECT_EQ(rows, (std::vector<float>{-3, -4, 0, -4}));
}

TEST_F(ClientTest, PulledValuesCompensateDelay) {
  TableSpec spec;
  spec.name = "compensated";
  spec.dim = 1;
  spec.rule = {"sgd", {{"lr", 1}}};
  spec.delay_compensation = 0.5;
  auto table = cluster_->CreateTable(spec);
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  const std::vector<uint64_t> keys = {7, 3, 7};
  const std::vector<float> grads = {1, 4, 1};
  const std::vector<float> pulled = {0, 0, 0};  // before anybody pushed
  ASSERT_TRUE(table->Push(keys, grads).ok());   // rows 7 and 3: -2, -4
  const std::vector<PushPart> parts = {
      PushPart(*table, keys, grads).WithPulled(pulled)};
  auto ack = cluster_->Push(parts);
  ASSERT_TRUE(ack.ok()) << ack.status().ToString();
  std::vector<float> rows(3);
  ASSERT_TRUE(table->Pull(keys, rows).ok());
  // g' of 7: 2 + 0.5 x 4 x -2 = -2; of 3: 4 + 0.5 x 16 x -4 = -28.
  EXPECT_EQ(rows, (std::vector<float>{0, 24, 0}));

  const std::vector<PushPart> short_part = {
      PushPart(*table, keys, grads).WithPulled(std::span(pulled).first(2))};
  EXPECT_EQ(cluster_->Push(short_part).status().code(), Code::kInvalidArgument);
  const Table plain = Make("uncompensated", 1);
  const std::vector<PushPart> refused = {
      PushPart(plain, keys, grads).WithPulled(pulled)};
  ack = cluster_->Push(refused);
  EXPECT_EQ(ack.status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ack.status().applied(), Applied::kNo);
}

// ---- Connecting, and the example --------------------------------------------

TEST_F(ClientTest, ConnectsFromAServersAddressForDataOnly) {
  // Any server hands out the shard map; only the coordinator makes tables.
  const Table table = Make("from-server", 1);
  const std::string ready = ReadFile(servers_->dir() + "/server-0.ready");
  ConnectOptions options;
  options.addresses = ready.substr(8, ready.find('\n') - 8);
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  auto opened = (*cluster)->OpenTable("from-server");
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  std::vector<float> row(1, 5);
  EXPECT_TRUE(opened->Pull(std::vector<uint64_t>{1}, row).ok());
  EXPECT_EQ(row[0], 0);
  auto created = (*cluster)->CreateTable(Sgd("never", 1));
  EXPECT_EQ(created.status().code(), Code::kFailedPrecondition)
      << created.status().ToString();
}

TEST(Connect, SaysWhatIsWrongWithAnAddress) {
  ConnectOptions options;
  options.addresses = "nonsense";
  EXPECT_EQ(Cluster::Connect(options).status().code(), Code::kInvalidArgument);
}

TEST(Connect, GivesUpAtItsTimeoutWhenNobodyAnswers) {
  ConnectOptions options;
  options.addresses = "127.0.0.1:1";
  options.timeout = std::chrono::milliseconds(300);
  const Status status = Cluster::Connect(options).status();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_NE(status.message().find("127.0.0.1:1"), std::string::npos);
}

TEST_F(ClientTest, TheExampleRuns) {
  const std::string log = servers_->dir() + "/example.log";
  Process example({PARAMO_BINARY_DIR "/paramo-example"},
                  {{"PARAMO_ADDRESS", servers_->address()}}, log);
  EXPECT_EQ(example.Wait(), 0) << ReadFile(log);
  EXPECT_EQ(ReadFile(log),
            "pushed to 2 sections, on 1 replica(s)\n"
            "row 7: -2.5 -2.5 -2.5 -2.5\n"
            "row 42: -0.5 -0.5 -0.5 -0.5\n"
            "row 99: 0 0 0 0\n");
}

}  // namespace
}  // namespace paramo
