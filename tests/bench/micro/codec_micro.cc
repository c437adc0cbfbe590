// Rows per second of every codec, rows of 64 floats, 1,024 of them (in L2);
// beside the scalar twins.
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/random.h"
#include "common/codec/codec.h"

namespace paramo {
namespace {

constexpr uint32_t kDim = 64;
constexpr size_t kRows = 1024;

std::vector<float> Gradients() {
  BitGen gen(1);
  std::vector<float> values(kRows * kDim);
  for (float& value : values) value = static_cast<float>(gen.Uniform() - 0.5);
  return values;
}

void Report(benchmark::State& state) {
  const auto rows = state.iterations() * static_cast<int64_t>(kRows);
  state.SetItemsProcessed(rows);
  state.SetBytesProcessed(rows * kDim * 4);  // of floats
}

void Encode(benchmark::State& state, const Codec& codec, Codec::Encode encode,
            bool seeded) {
  const std::vector<float> values = Gradients();
  const size_t row_bytes = codec.row_bytes(kDim);
  std::vector<uint8_t> bytes(kRows * row_bytes);
  for (auto _ : state) {
    for (size_t i = 0; i < kRows; ++i) {
      encode(values.data() + i * kDim, kDim,
             seeded ? CodecSeed(/*session=*/1, /*seq=*/2, i) : 0,
             bytes.data() + i * row_bytes);
    }
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
  Report(state);
}

void Decode(benchmark::State& state, const Codec& codec, Codec::Decode decode) {
  std::vector<float> values = Gradients();
  const size_t row_bytes = codec.row_bytes(kDim);
  std::vector<uint8_t> bytes(kRows * row_bytes);
  for (size_t i = 0; i < kRows; ++i) {
    codec.encode(values.data() + i * kDim, kDim, 0,
                 bytes.data() + i * row_bytes);
  }
  for (auto _ : state) {
    for (size_t i = 0; i < kRows; ++i) {
      decode(bytes.data() + i * row_bytes, kDim, values.data() + i * kDim);
    }
    benchmark::DoNotOptimize(values.data());
    benchmark::ClobberMemory();
  }
  Report(state);
}

void Register(const Codec& codec) {
  const auto encode = [&codec](const std::string& name, Codec::Encode by,
                               bool seeded) {
    benchmark::RegisterBenchmark(
        ("Codec/encode/" + std::string(codec.name) + name).c_str(),
        [&codec, by, seeded](benchmark::State& state) {
          Encode(state, codec, by, seeded);
        });
  };
  const auto decode = [&codec](const std::string& name, Codec::Decode by) {
    benchmark::RegisterBenchmark(
        ("Codec/decode/" + std::string(codec.name) + name).c_str(),
        [&codec, by](benchmark::State& state) { Decode(state, codec, by); });
  };
  encode("", codec.encode, false);
  if (codec.unbiased) encode("/seeded", codec.encode, true);
  encode("/scalar", codec.encode_scalar, codec.unbiased);
  decode("", codec.decode);
  decode("/scalar", codec.decode_scalar);
}

const bool kRegistered = [] {
  for (const Codec& codec : ListCodecs()) Register(codec);
  return true;
}();

}  // namespace
}  // namespace paramo
