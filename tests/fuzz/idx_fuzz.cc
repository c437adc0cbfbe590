// A data set of IDX files. The input is the training images; the last byte
// says how many labels there are, and the test set is a good one of 2 images
// of 2 x 2. Oracle: what is accepted can be read, each example of it.
#include "worker/data/idx_dataset.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

constexpr size_t kClasses = 10;

std::string Labels(size_t count) {
  std::string file("\0\0\x08\x01\0\0\0", 7);
  file.push_back(static_cast<char>(count));
  for (size_t i = 0; i < count; ++i) {
    file.push_back(static_cast<char>(i % kClasses));
  }
  return file;
}

// A folder that goes with the process.
class DataFolder {
 public:
  DataFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "paramo-fuzz-XXXXXX")
            .string();
    PARAMO_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
    std::string images("\0\0\x08\x03\0\0\0\2\0\0\0\2\0\0\0\2", 16);
    Write("t10k-images-idx3-ubyte", images + "12345678");
    Write("t10k-labels-idx1-ubyte", Labels(2));
  }
  ~DataFolder() { std::filesystem::remove_all(path_); }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void ReadAll(const Dataset& data) {
  PARAMO_CHECK(data.examples() > 0 && data.features() > 0);
  std::vector<float> features(data.features());
  int32_t label = -1;
  for (uint32_t i = 0; i < data.examples(); ++i) {
    PARAMO_CHECK(
        data.Read({&i, 1}, absl::MakeSpan(features), {&label, 1}).ok());
    PARAMO_CHECK(label >= 0 && label < static_cast<int32_t>(kClasses));
    for (float value : features) PARAMO_CHECK(std::isfinite(value));
  }
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  static const DataFolder folder;  // made once; const, and removed at exit
  fuzz::Input input(data, size);
  folder.Write("train-labels-idx1-ubyte", Labels(input.Choice(8)));
  folder.Write("train-images-idx3-ubyte", input.Rest());
  auto sets = OpenIdxData(folder.path(), kClasses);
  if (!sets.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(sets.status()) ||
                 absl::IsDataLoss(sets.status()) ||
                 absl::IsResourceExhausted(sets.status()));
    return 0;
  }
  ReadAll(*sets->train);
  ReadAll(*sets->test);
  return 0;
}
