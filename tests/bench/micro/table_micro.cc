// One TableShard: the index, gather, and push by every rule. Batches of 1024
// uniformly random keys, sorted as the client sends them, over 2^20 rows or
// $PARAMO_MICRO_ROWS.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/random.h"
#include "server/table/table_shard.h"

namespace paramo {
namespace {

constexpr uint32_t kDim = 64;
constexpr size_t kBatch = 1024;
constexpr size_t kBatches = 512;  // half a million keys: no batch stays cached

size_t RowCount() {
  const char* rows = std::getenv("PARAMO_MICRO_ROWS");
  return rows == nullptr ? size_t{1} << 20 : std::strtoul(rows, nullptr, 10);
}

std::unique_ptr<TableShard> MakeTable(const std::string& rule, uint32_t dim) {
  TableConfig config;
  config.name = "bench";
  config.dim = dim;
  config.rule = std::move(*MakeRule(rule, {}));
  config.initializer = {.kind = Initializer::Kind::kUniform, .a = 0.1};
  config.seed = 1;
  auto table = std::make_unique<TableShard>(config, /*shard=*/0);

  const std::vector<float> grad(dim, 0.01f);
  const std::vector<const float*> grads(kBatch, grad.data());
  std::vector<Key> keys(kBatch);
  for (size_t at = 0; at < RowCount(); at += kBatch) {
    for (size_t i = 0; i < kBatch; ++i) keys[i] = Mix64(at + i);
    table->Apply(keys, grads.data(), {.lsn = 1});
  }
  return table;
}

// The library calls a benchmark several times before one that counts, in the
// order of registration: the last table is kept, and no other.
TableShard& TableOf(const std::string& rule, uint32_t dim) {
  static std::pair<std::string, uint32_t> name;
  static std::unique_ptr<TableShard> table;
  if (table == nullptr || name != std::pair(rule, dim)) {
    table.reset();  // before the next is made
    table = MakeTable(rule, dim);
    name = {rule, dim};
  }
  return *table;
}

// Keys of rows that are there, or, from RowCount() on, of none.
std::vector<std::vector<Key>> MakeBatches(uint64_t first = 0) {
  BitGen gen(/*seed=*/7);
  std::vector<std::vector<Key>> batches(kBatches);
  for (std::vector<Key>& batch : batches) {
    std::set<Key> keys;
    while (keys.size() < kBatch) {
      keys.insert(Mix64(first + gen.Below(RowCount())));
    }
    batch.assign(keys.begin(), keys.end());
  }
  return batches;
}

void CountRows(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void GatherBatches(benchmark::State& state, uint64_t first_key) {
  const auto dim = static_cast<uint32_t>(state.range(0));
  TableShard& table = TableOf("sgd", dim);
  const auto batches = MakeBatches(first_key);
  std::vector<uint8_t> out(kBatch * dim * sizeof(float));
  size_t at = 0;
  for (auto _ : state) {
    table.Gather(batches[at++ % kBatches], out.data());
    benchmark::DoNotOptimize(out.data());
  }
  CountRows(state);
}

// With rows of one float, little more than the index.
void Gather(benchmark::State& state) { GatherBatches(state, 0); }
BENCHMARK(Gather)->Arg(1)->Arg(16)->Arg(64);

// Rows that are not there: the index, and the initializer.
void GatherMissing(benchmark::State& state) {
  GatherBatches(state, RowCount());
}
BENCHMARK(GatherMissing)->Arg(1)->Arg(64);

// Gradients lie in one array, as they do in a message.
struct Gradients {
  std::vector<float> values = std::vector<float>(kBatch * kDim, 0.01f);
  std::vector<const float*> rows = std::vector<const float*>(kBatch);
  Gradients() {
    for (size_t i = 0; i < kBatch; ++i) rows[i] = values.data() + i * kDim;
  }
};

void Push(benchmark::State& state, const std::string& rule) {
  TableShard& table = TableOf(rule, kDim);
  const auto batches = MakeBatches();
  const Gradients gradients;
  static Lsn lsn = 1;
  size_t at = 0;
  for (auto _ : state) {
    table.Apply(batches[at++ % kBatches], gradients.rows.data(),
                {.lsn = ++lsn});
  }
  CountRows(state);
}
const bool kPushes = [] {
  for (const RuleInfo& rule : ListRules()) {
    benchmark::RegisterBenchmark(("Push/" + std::string(rule.name)).c_str(),
                                 Push, std::string(rule.name));
  }
  return true;
}();

// Finding that unsorted keys are distinct, which sorted ones show by
// themselves.
void UnsortedKeys(benchmark::State& state) {
  std::vector<Key> keys(kBatch);
  for (size_t i = 0; i < kBatch; ++i) keys[i] = Mix64(i);
  const float grad[kDim] = {};
  const std::vector<const float*> grads(kBatch, grad);
  DistinctKeys distinct;
  for (auto _ : state) {
    distinct.Set(keys, grads.data(), kDim);
    benchmark::DoNotOptimize(distinct.keys().data());
  }
  CountRows(state);
}
BENCHMARK(UnsortedKeys);

// What the reject policy adds to a push.
void CheckFinite(benchmark::State& state) {
  TableShard& table = TableOf("sgd", kDim);
  const auto batches = MakeBatches();
  const Gradients gradients;
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        table.CheckFinite(batches[at++ % kBatches], gradients.rows.data()));
  }
  CountRows(state);
}
BENCHMARK(CheckFinite);

// A pull of rows that nobody has pushed.
void FillInitializer(benchmark::State& state, Initializer::Kind kind) {
  const Initializer initializer{.kind = kind, .a = 0.1};
  std::vector<float> out(kDim);
  Key key = 0;
  for (auto _ : state) {
    initializer.Fill(/*seed=*/1, key++, out.data(), kDim);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(FillInitializer, uniform, Initializer::Kind::kUniform);
BENCHMARK_CAPTURE(FillInitializer, normal, Initializer::Kind::kNormal);

}  // namespace
}  // namespace paramo
