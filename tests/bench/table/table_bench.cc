// Rows per second of one TableShard on one thread: gather, and push by rule.
// 1 M rows of 64 floats, batches of 1024 uniformly random keys, sorted as the
// client sends them. Run: table_bench --benchmark_repetitions=5
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/random.h"
#include "server/table/table_shard.h"

namespace paramo {
namespace {

constexpr uint32_t kDim = 64;
constexpr size_t kRows = size_t{1} << 20;
constexpr size_t kBatch = 1024;
constexpr size_t kBatches = 512;  // half a million keys: no batch stays cached

std::unique_ptr<TableShard> MakeTable(const std::string& rule) {
  TableConfig config;
  config.name = "bench";
  config.dim = kDim;
  config.rule = std::move(*MakeRule(rule, {}));
  config.initializer = {.kind = Initializer::Kind::kUniform, .a = 0.1};
  config.seed = 1;
  auto table = std::make_unique<TableShard>(config, /*shard=*/0);

  const std::vector<float> grad(kDim, 0.01f);
  const std::vector<const float*> grads(kBatch, grad.data());
  std::vector<Key> keys(kBatch);
  for (size_t at = 0; at < kRows; at += kBatch) {
    for (size_t i = 0; i < kBatch; ++i) keys[i] = Mix64(at + i);
    table->Apply(keys, grads.data(), {.lsn = 1});
  }
  return table;
}

std::vector<std::vector<Key>> MakeBatches() {
  BitGen gen(7);
  std::vector<std::vector<Key>> batches(kBatches);
  for (std::vector<Key>& batch : batches) {
    std::set<Key> keys;
    while (keys.size() < kBatch) keys.insert(Mix64(gen.Below(kRows)));
    batch.assign(keys.begin(), keys.end());
  }
  return batches;
}

void Report(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void Gather(benchmark::State& state) {
  const auto table = MakeTable("sgd");
  const auto batches = MakeBatches();
  std::vector<uint8_t> out(kBatch * kDim * sizeof(float));
  size_t at = 0;
  for (auto _ : state) {
    table->Gather(batches[at++ % kBatches], out.data());
    benchmark::DoNotOptimize(out.data());
  }
  Report(state);
}
BENCHMARK(Gather);

void Push(benchmark::State& state, const std::string& rule) {
  const auto table = MakeTable(rule);
  const auto batches = MakeBatches();
  // Gradients lie in one array, as they do in a message.
  std::vector<float> values(kBatch * kDim, 0.01f);
  std::vector<const float*> grads(kBatch);
  for (size_t i = 0; i < kBatch; ++i) grads[i] = values.data() + i * kDim;
  Lsn lsn = 1;
  size_t at = 0;
  for (auto _ : state) {
    table->Apply(batches[at++ % kBatches], grads.data(), {.lsn = ++lsn});
  }
  Report(state);
}
BENCHMARK_CAPTURE(Push, sgd, "sgd");
BENCHMARK_CAPTURE(Push, momentum, "momentum");
BENCHMARK_CAPTURE(Push, adagrad, "adagrad");
BENCHMARK_CAPTURE(Push, adam, "adam");

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
  Report(state);
}
BENCHMARK(UnsortedKeys);

// What the reject policy adds to a push.
void CheckFinite(benchmark::State& state) {
  const auto table = MakeTable("sgd");
  const auto batches = MakeBatches();
  std::vector<float> values(kBatch * kDim, 0.01f);
  std::vector<const float*> grads(kBatch);
  for (size_t i = 0; i < kBatch; ++i) grads[i] = values.data() + i * kDim;
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        table->CheckFinite(batches[at++ % kBatches], grads.data()));
  }
  Report(state);
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

BENCHMARK_MAIN();
