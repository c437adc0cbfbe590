// A file, plain or gzip, read in steps; the last byte says how long they are.
// Oracle: any steps give the same bytes or the same failure, and what is no
// gzip comes as it lies.
#include "worker/data/gzip_file.h"

#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

// Reads no more of a bomb than this; below the step of one read.
constexpr size_t kReadMax = 16 << 10;

absl::StatusOr<std::string> ReadInSteps(const std::string& path, size_t step) {
  auto file = GzipFile::Open(path);
  PARAMO_CHECK(file.ok());
  std::string all;
  std::vector<char> buffer(step);
  while (all.size() < kReadMax) {
    // Not a byte further, whatever the step: damage may begin there.
    const size_t bytes = std::min(step, kReadMax - all.size());
    auto got = file->ReadSome(bytes, buffer.data());
    if (!got.ok()) return got.status();
    PARAMO_CHECK(*got <= bytes);
    all.append(buffer.data(), *got);
    PARAMO_CHECK(file->offset() == all.size());
    if (*got == 0) break;
  }
  return all;
}

// As the IDX reader does: so many bytes, then the end.
void ReadExactly(const std::string& path, const std::string& all) {
  auto file = GzipFile::Open(path);
  std::vector<uint8_t> bytes;
  PARAMO_CHECK(file->Read(all.size(), bytes).ok());
  PARAMO_CHECK(std::equal(
      bytes.begin(), bytes.end(), all.begin(), all.end(),
      [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }));
  if (all.size() < kReadMax) PARAMO_CHECK(file->ExpectEnd().ok());
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  const size_t step = 1 + input.Choice(256);
  const std::string bytes = input.Rest();
  const fuzz::MemoryFile file(bytes);
  auto in_steps = ReadInSteps(file.path(), step);
  auto at_once = ReadInSteps(file.path(), kReadMax);
  PARAMO_CHECK(in_steps.ok() == at_once.ok());
  if (!in_steps.ok()) {
    PARAMO_CHECK(absl::IsDataLoss(in_steps.status()));
    return 0;
  }
  PARAMO_CHECK(*in_steps == *at_once);
  const bool gzip =
      bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
  if (!gzip) PARAMO_CHECK(*at_once == bytes.substr(0, kReadMax));
  ReadExactly(file.path(), *at_once);
  return 0;
}
