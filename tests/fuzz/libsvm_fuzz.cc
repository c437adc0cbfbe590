// A LIBSVM file, plain or gzip. Oracle: accepted examples are whole, their
// features ascending and finite.
#include "worker/data/libsvm.h"

#include <cmath>

#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void Check(const SparseExamples& examples) {
  PARAMO_CHECK(examples.size() > 0);
  PARAMO_CHECK(examples.offsets.size() == examples.size() + 1);
  PARAMO_CHECK(examples.offsets.front() == 0);
  PARAMO_CHECK(examples.offsets.back() == examples.features.size());
  PARAMO_CHECK(examples.values.size() == examples.features.size());
  for (size_t e = 0; e < examples.size(); ++e) {
    PARAMO_CHECK(examples.labels[e] <= 1);
    PARAMO_CHECK(examples.offsets[e] <= examples.offsets[e + 1]);
    for (uint64_t i = examples.offsets[e]; i < examples.offsets[e + 1]; ++i) {
      PARAMO_CHECK(std::isfinite(examples.values[i]));
      PARAMO_CHECK(i == examples.offsets[e] ||
                   examples.features[i - 1] < examples.features[i]);
    }
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  SetLog(LogLevel::kError, "fuzz");
  const fuzz::MemoryFile file(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  auto examples = ReadLibsvm(file.path());
  if (examples.ok()) {
    Check(examples->train);
    Check(examples->held_out);
  } else {
    PARAMO_CHECK(absl::IsInvalidArgument(examples.status()) ||
                 absl::IsDataLoss(examples.status()) ||
                 absl::IsResourceExhausted(examples.status()));
  }
  return 0;
}
