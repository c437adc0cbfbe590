// What pushes and pulls do to the rows of one shard.
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// lr 1 and zeros: a row is minus the sum of its gradients.
TableConfig Plain(uint32_t dim = 1) {
  return MakeConfig(dim, "sgd", {{"lr", 1}});
}

void ExpectResult(const ApplyResult& result, uint32_t updated, uint32_t created,
                  uint32_t skipped) {
  EXPECT_EQ(result.rows_updated, updated);
  EXPECT_EQ(result.rows_created, created);
  EXPECT_EQ(result.rows_skipped, skipped);
}

TEST(TableApply, CreatesMissingRowsAndUpdatesOthers) {
  TableShard table(Plain(2), 3);
  ExpectResult(Apply(table, {{1, 2}, {{1, 2}, {3, 4}}}, 10), 2, 2, 0);
  ExpectResult(Apply(table, {{2, 5}, {{1, 1}, {8, 8}}}, 11), 2, 1, 0);
  EXPECT_EQ(table.rows(), 3u);
  EXPECT_THAT(Pull(table, {1, 2, 5}), ElementsAre(-1, -2, -4, -5, -8, -8));
}

TEST(TableApply, HeaderTellsWhatChangedTheRow) {
  TableShard table(MakeConfig(1, "adam"), 3);
  Apply(table, {{9}, {{1}}}, /*lsn=*/10, /*last_use=*/100);
  Apply(table, {{9}, {{1}}}, /*lsn=*/12, /*last_use=*/130);
  const RowHeader& header = HeaderOf(table.Find(9));
  EXPECT_EQ(header.key, 9u);
  EXPECT_EQ(header.lsn, 12u);
  EXPECT_EQ(header.last_use, 130u);
  EXPECT_EQ(header.count, 2u);
  EXPECT_EQ(header.step, 2u);
  EXPECT_EQ(header.snapshot_generation, 0u);
}

TEST(TableApply, DuplicatesAreOneUpdate) {
  // Adagrad sees 3 + 4 = 7 once, not 3 and then 4.
  TableShard table(MakeConfig(1, "adagrad", {{"lr", 1}, {"eps", 1}}), 0);
  ExpectResult(Apply(table, {{8, 2, 8}, {{3}, {1}, {4}}}, 1), 2, 2, 0);
  EXPECT_EQ(HeaderOf(table.Find(8)).count, 1u);
  EXPECT_EQ(ValueOf(table.Find(8))[1], 49.0f);         // the slot
  EXPECT_EQ(ValueOf(table.Find(8))[0], -7.0f / 8.0f);  // 7 / (7 + 1)
}

TEST(TableApply, ExtremeKeysAreOrdinary) {
  TableShard table(Plain(), 0);
  Apply(table, {{0, ~Key{0}}, {{1}, {2}}}, 1);
  EXPECT_THAT(Pull(table, {0, ~Key{0}}), ElementsAre(-1, -2));
}

TEST(TableApply, EmptyPushIsNothing) {
  TableShard table(Plain(), 0);
  ExpectResult(Apply(table, {}, 1), 0, 0, 0);
  EXPECT_EQ(table.rows(), 0u);
}

TEST(TablePull, MissingRowIsComputedAndNotCreated) {
  TableConfig config = Plain(3);
  config.initializer = {.kind = Initializer::Kind::kNormal, .a = 1};
  TableShard table(config, 0);
  std::vector<float> expected(3);
  config.initializer.Fill(config.seed, 77, expected.data(), 3);
  EXPECT_EQ(Pull(table, {77}), expected);
  EXPECT_EQ(table.rows(), 0u);
  // The push then starts from the very same value.
  Apply(table, {{77}, {{0, 0, 0}}}, 1);
  EXPECT_EQ(table.rows(), 1u);
  EXPECT_EQ(Pull(table, {77}), expected);
}

TEST(TablePull, ScatteredUnalignedDuplicatesAndManyBatches) {
  TableShard table(Plain(3), 0);
  TestPush push;
  std::vector<Key> wanted;
  for (Key key = 0; key < 1000; ++key) {
    push.keys.push_back(key * 3);
    push.rows.push_back({float(key), float(key) + 1, float(key) + 2});
    wanted.push_back((key * 7) % 1000 * 3);
    wanted.push_back(key * 3 + 1);  // missing
    wanted.push_back(0);            // again and again
  }
  Apply(table, push, 1);
  std::vector<uint8_t> bytes(wanted.size() * 16 + 1);
  std::vector<uint8_t*> outs;
  for (size_t i = 0; i < wanted.size(); ++i) {
    outs.push_back(bytes.data() + 1 + (wanted.size() - 1 - i) * 16);
  }
  table.Gather(wanted, outs.data());
  const std::vector<float> contiguous = Pull(table, wanted);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool held = wanted[i] % 3 == 0;
    const float first = held ? -float(wanted[i] / 3) : 0;
    EXPECT_EQ(contiguous[3 * i], first);
    EXPECT_EQ(contiguous[3 * i + 2], held ? first - 2 : 0);
    EXPECT_EQ(std::memcmp(outs[i], &contiguous[3 * i], 12), 0) << i;
    EXPECT_EQ(outs[i][12], 0) << "wrote beyond the row";
  }
}

// ---- Non-finite gradients ---------------------------------------------------

TEST(TableNonFinite, RejectNamesTheKeyAndChangesNothing) {
  TableShard table(Plain(2), 0);
  const TestPush push{{4, 6}, {{1, 1}, {1, kNaN}}};
  const absl::Status status = table.CheckFinite(push.keys, push.grads().data());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("key 6"));
  EXPECT_EQ(table.rows(), 0u);
  const TestPush good{{4}, {{kLargest, -1e-40f}}};
  EXPECT_TRUE(table.CheckFinite(good.keys, good.grads().data()).ok());
}

TEST(TableNonFinite, SkipRowLeavesOldRowAsItWasAndNewRowMissing) {
  TableConfig config = Plain();
  config.policy = NonFinitePolicy::kSkipRow;
  TableShard table(config, 0);
  Apply(table, {{1}, {{5}}}, 1);
  Collect(table, 10);
  const auto before = Records(table);
  const TestPush push{{1, 2}, {{kInfinity}, {kNaN}}};
  EXPECT_TRUE(table.CheckFinite(push.keys, push.grads().data()).ok());
  ExpectResult(Apply(table, push, 2, /*last_use=*/9), 0, 0, 2);
  EXPECT_EQ(Records(table), before);
  EXPECT_EQ(table.dirty_rows(), 0u);
  ExpectResult(Apply(table, {{1, 2}, {{1}, {1}}}, 3), 2, 1, 0);
  EXPECT_THAT(Pull(table, {1, 2}), ElementsAre(-6, -1));
}

TEST(TableNonFinite, ClipBoundsTheSumOfDuplicates) {
  TableConfig config = Plain(2);
  config.policy = NonFinitePolicy::kClip;
  config.clip = 2;
  TableShard table(config, 0);
  const TestPush push{{1, 2, 1}, {{1.5f, kNaN}, {-kInfinity, 5}, {1.5f, 1}}};
  EXPECT_TRUE(table.CheckFinite(push.keys, push.grads().data()).ok());
  ExpectResult(Apply(table, push, 1), 2, 2, 0);
  EXPECT_THAT(Pull(table, {1, 2}), ElementsAre(-2, 0, 2, -2));
}

TEST(TableNonFinite, OverflowingUpdateIsSkippedUnderEveryPolicy) {
  for (const auto policy : {NonFinitePolicy::kReject, NonFinitePolicy::kSkipRow,
                            NonFinitePolicy::kClip}) {
    TableConfig config = Plain();
    config.policy = policy;
    config.clip = kLargest;
    TableShard table(config, 0);
    Apply(table, {{1}, {{-kLargest}}}, 1);
    const auto before = Records(table);
    ExpectResult(Apply(table, {{1, 2}, {{-kLargest}, {1}}}, 2), 1, 1, 1);
    EXPECT_EQ(Records(table).at(1), before.at(1));
  }
}

// ---- Room -------------------------------------------------------------------

TEST(TableRoom, RefusesOnlyWhatDoesNotFit) {
  TableShard table(Plain(), 5, /*rows_max=*/3);
  Apply(table, {{1, 2}, {{1}, {1}}}, 1);
  const std::vector<Key> fits = {1, 2, 3}, too_many = {1, 3, 4};
  EXPECT_TRUE(table.CheckRoom(fits).ok());
  const absl::Status status = table.CheckRoom(too_many);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("shard 5"));
}

TEST(TableRoom, ApplyNeverExceedsIt) {
  // Two pushes may both have passed the check before either was applied.
  TableShard table(Plain(), 5, /*rows_max=*/2);
  ExpectResult(Apply(table, {{1, 2, 3}, {{1}, {1}, {1}}}, 1), 2, 2, 1);
  ExpectResult(Apply(table, {{2, 3}, {{1}, {1}}}, 2), 1, 0, 1);
  EXPECT_EQ(table.rows(), 2u);
  EXPECT_THAT(Pull(table, {1, 2, 3}), ElementsAre(-1, -2, 0));
}

}  // namespace
}  // namespace paramo
