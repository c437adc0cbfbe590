// A request with one push section: written, read where it lies, checked. The
// argument is its rows, of 64 floats.
#include <cstring>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "common/base/random.h"
#include "common/wire/request.h"
#include "common/wire/seal.h"

namespace paramo::wire {
namespace {

constexpr size_t kRowBytes = 64 * sizeof(float);

Message WriteRequest(size_t rows) {
  RequestWriter writer(/*id=*/1, /*cluster=*/2, /*deadline_ms=*/1000);
  SectionHeader header;
  header.table = 1;
  const size_t s = writer.AddPush(header, rows, rows * kRowBytes);
  writer.Allocate();
  for (size_t i = 0; i < rows; ++i) {
    const uint64_t key = Mix64(i);
    std::memcpy(writer.keys(s) + i * sizeof(key), &key, sizeof(key));
  }
  std::memset(writer.values(s), 0, rows * kRowBytes);
  writer.Seal(s);
  return writer.Take();
}

Rope RopeOf(const Message& message) {
  std::string bytes;
  for (const Buffer& block : message) {
    bytes.append(reinterpret_cast<const char*>(block.data()), block.size());
  }
  return Rope::FromString(std::move(bytes));
}

void CountBytes(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() * state.range(0) *
                          static_cast<int64_t>(kRowBytes));
}

// Hash and checksum of the section included.
void WireWrite(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(WriteRequest(state.range(0)));
  }
  CountBytes(state);
}
BENCHMARK(WireWrite)->Arg(16)->Arg(1024)->Arg(16384);

// Headers only: the same whatever the size.
void WireParse(benchmark::State& state) {
  const Rope rope = RopeOf(WriteRequest(state.range(0)));
  for (auto _ : state) {
    auto view = ParseRequest(rope);
    if (!view.ok() || !view->canonical) state.SkipWithError("not canonical");
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(WireParse)->Arg(16)->Arg(1024)->Arg(16384);

void WireCheckSection(benchmark::State& state) {
  const Rope rope = RopeOf(WriteRequest(state.range(0)));
  const auto view = ParseRequest(rope);
  for (auto _ : state) {
    if (!CheckCrc(view->rope, view->push[0]).ok()) {
      state.SkipWithError("damaged");
    }
  }
  CountBytes(state);
}
BENCHMARK(WireCheckSection)->Arg(16)->Arg(1024)->Arg(16384);

void WireCheckSeal(benchmark::State& state) {
  Message message = WriteRequest(state.range(0));
  Seal(message);
  const Rope rope = RopeOf(message);
  for (auto _ : state) {
    Rope sealed = rope;
    if (TakeSeal(sealed) != SealState::kIntact) state.SkipWithError("damaged");
  }
  CountBytes(state);
}
BENCHMARK(WireCheckSeal)->Arg(16)->Arg(1024)->Arg(16384);

}  // namespace
}  // namespace paramo::wire
