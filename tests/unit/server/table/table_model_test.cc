// A TableShard against a std::map of records updated by scalar rules: random
// pushes with duplicates, pulls, collections and failed ingests, from a printed
// seed.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

class Model {
 public:
  explicit Model(const TableConfig& config)
      : config_(config),
        layout_(config.dim, config.rule->info().SlotFloats(config.dim)) {}

  uint32_t Apply(const TestPush& push, Lsn lsn, uint32_t last_use) {
    std::map<Key, std::vector<float>> sums;
    for (size_t i = 0; i < push.keys.size(); ++i) {
      auto [it, first] = sums.try_emplace(push.keys[i], push.rows[i]);
      for (uint32_t j = 0; !first && j < config_.dim; ++j) {
        it->second[j] += push.rows[i][j];
      }
    }
    uint32_t skipped = 0;
    for (auto& [key, grad] : sums) {
      if (config_.policy == NonFinitePolicy::kClip) {
        for (float& x : grad) {
          x = std::isnan(x)
                  ? 0
                  : std::max(-config_.clip, std::min(config_.clip, x));
        }
      }
      skipped += ApplyOne(key, grad.data(), lsn, last_use) ? 0 : 1;
    }
    return skipped;
  }

  std::vector<float> Value(Key key) const {
    std::vector<float> value(config_.dim);
    const auto it = rows_.find(key);
    if (it == rows_.end()) {
      config_.initializer.Fill(config_.seed, key, value.data(), config_.dim);
    } else {
      std::memcpy(value.data(), it->second.data() + 32, 4 * config_.dim);
    }
    return value;
  }

  const std::map<Key, std::vector<uint8_t>>& rows() const { return rows_; }
  std::set<Key>& dirty() { return dirty_; }

 private:
  bool ApplyOne(Key key, const float* grad, Lsn lsn, uint32_t last_use) {
    std::vector<uint8_t> record(layout_.record_bytes());
    const auto it = rows_.find(key);
    if (it != rows_.end()) {
      record = it->second;
    } else {
      std::memcpy(record.data(), &key, 8);
      config_.initializer.Fill(config_.seed, key, record.data() + 32,
                               config_.dim);
    }
    auto* row = reinterpret_cast<std::byte*>(record.data());
    if (config_.rule->ApplyScalar(
            {.dim = config_.dim, .rows = &row, .grads = &grad, .n = 1}) != 0) {
      return false;
    }
    RowHeader& header = HeaderOf(row);
    header.lsn = lsn;
    header.last_use = last_use;
    ++header.count;
    rows_[key] = record;
    dirty_.insert(key);
    return true;
  }

  const TableConfig config_;
  const RowLayout layout_;
  std::map<Key, std::vector<uint8_t>> rows_;
  std::set<Key> dirty_;
};

TestPush RandomPush(BitGen& gen, uint32_t dim, bool with_bad) {
  TestPush push;
  const size_t n = gen.Below(300);
  const bool sorted = gen.Below(2) == 0;
  for (size_t i = 0; i < n; ++i) push.keys.push_back(Mix64(gen.Below(2000)));
  if (sorted) std::sort(push.keys.begin(), push.keys.end());
  for (size_t i = 0; i < n; ++i) {
    std::vector<float> row(dim);
    for (float& x : row) x = static_cast<float>(gen.Uniform() - 0.5);
    if (with_bad && gen.Below(20) == 0) {
      const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                           std::numeric_limits<float>::infinity(), 3e38f};
      row[gen.Below(dim)] = bad[gen.Below(3)];
    }
    push.rows.push_back(row);
  }
  return push;
}

void RunAgainstModel(const TableConfig& config, uint64_t seed) {
  SCOPED_TRACE(config.rule->info().name + " dim " + std::to_string(config.dim) +
               " seed " + std::to_string(seed));
  BitGen gen(seed);
  TableShard table(config, 0);
  Model model(config);
  for (Lsn lsn = 1; lsn <= 60; ++lsn) {
    const TestPush push =
        RandomPush(gen, config.dim, config.policy != NonFinitePolicy::kReject);
    const uint32_t use = static_cast<uint32_t>(gen.Below(1000));
    ASSERT_TRUE(table.CheckFinite(push.keys, push.grads().data()).ok());
    const uint64_t rows_before = table.rows();
    const ApplyResult result = Apply(table, push, lsn, use);
    ASSERT_EQ(result.rows_skipped, model.Apply(push, lsn, use));
    ASSERT_EQ(result.rows_created, table.rows() - rows_before);

    std::vector<Key> wanted;
    for (int i = 0; i < 50; ++i) wanted.push_back(Mix64(gen.Below(2500)));
    const std::vector<float> values = Pull(table, wanted);
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(std::memcmp(values.data() + i * config.dim,
                            model.Value(wanted[i]).data(), 4 * config.dim),
                0);
    }
    const std::vector<Key> collected = Collect(table, gen.Below(200));
    for (const Key key : collected) {
      ASSERT_EQ(model.dirty().erase(key), 1u) << "collected a clean row";
    }
    const bool stored = gen.Below(4) != 0;
    table.FlushSettled(stored);
    if (!stored) model.dirty().insert(collected.begin(), collected.end());
    ASSERT_EQ(table.dirty_rows(), model.dirty().size());
  }
  ASSERT_EQ(Records(table), model.rows());
}

TEST(TableModel, EqualsScalarRulesOverAMap) {
  for (const RuleInfo& info : ListRules()) {
    for (const uint32_t dim : {1, 3, 8, 17}) {
      for (const auto policy :
           {NonFinitePolicy::kReject, NonFinitePolicy::kSkipRow,
            NonFinitePolicy::kClip}) {
        TableConfig config = MakeConfig(dim, info.name);
        config.initializer = {.kind = Initializer::Kind::kUniform, .a = 0.5};
        config.policy = policy;
        config.clip = 0.25f;
        RunAgainstModel(config, /*seed=*/100 * dim + uint64_t(policy));
      }
    }
  }
}

TEST(TableModel, WideRowsGoThroughSmallBatches) {
  // 65,536 floats x 3 arrays: one row per batch, state beyond the stack.
  TableConfig config = MakeConfig(kDimMax, "adam");
  TableShard table(config, 0);
  Model model(config);
  TestPush push;
  push.keys = {4, 1, 4};
  push.rows.assign(3, std::vector<float>(kDimMax, 0.5f));
  push.rows[1][kDimMax - 1] = -3;
  Apply(table, push, 1);
  model.Apply(push, 1, 0);
  Apply(table, push, 2);
  model.Apply(push, 2, 0);
  EXPECT_EQ(Records(table), model.rows());
}

}  // namespace
}  // namespace paramo
