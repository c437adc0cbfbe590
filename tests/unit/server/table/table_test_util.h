// Tables and pushes for the tests of TableShard.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "server/table/table_shard.h"

namespace paramo {

inline TableConfig MakeConfig(uint32_t dim, const std::string& rule = "sgd",
                              std::map<std::string, double> params = {}) {
  auto made = MakeRule(rule, params);
  PARAMO_CHECK(made.ok());
  TableConfig config;
  config.id = 7;
  config.version = 1;
  config.name = "test";
  config.dim = dim;
  config.rule = std::move(*made);
  config.seed = 5;
  return config;
}

// One push: keys and their gradients, row by row.
struct TestPush {
  std::vector<Key> keys;
  std::vector<std::vector<float>> rows;

  std::vector<const float*> grads() const {
    std::vector<const float*> grads;
    for (const std::vector<float>& row : rows) grads.push_back(row.data());
    return grads;
  }
};

inline ApplyResult Apply(TableShard& table, const TestPush& push, Lsn lsn,
                         uint32_t last_use = 0) {
  return table.Apply(push.keys, push.grads().data(),
                     {.lsn = lsn, .last_use = last_use});
}

inline std::vector<float> Pull(const TableShard& table,
                               const std::vector<Key>& keys) {
  std::vector<float> values(keys.size() * table.layout().dim());
  table.Gather(keys, reinterpret_cast<uint8_t*>(values.data()));
  return values;
}

// The keys of the records that one CollectDirty hands out, in its order; begins
// a sweep when the last one is done.
inline std::vector<Key> Collect(TableShard& table, size_t rows_max) {
  std::vector<Key> keys;
  if (table.SweepDone()) table.BeginSweep();
  const size_t taken =
      table.CollectDirty(rows_max, [&keys](absl::Span<const uint8_t> record) {
        RowHeader header;
        std::memcpy(&header, record.data(), sizeof(header));
        keys.push_back(header.key);
      });
  PARAMO_CHECK(taken == keys.size());
  return keys;
}

inline std::map<Key, std::vector<uint8_t>> Records(const TableShard& table) {
  std::map<Key, std::vector<uint8_t>> records;
  table.ForEachRow([&records](absl::Span<const uint8_t> record) {
    RowHeader header;
    std::memcpy(&header, record.data(), sizeof(header));
    records[header.key].assign(record.begin(), record.end());
  });
  PARAMO_CHECK(records.size() == table.rows());
  return records;
}

}  // namespace paramo
