#include "worker/data/indexed_dataset.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"

namespace paramo {
namespace {

constexpr uint64_t kHeldOutOneOf = 20;

class IndexedDataset final : public Dataset {
 public:
  IndexedDataset(std::vector<uint8_t> labels, size_t classes)
      : labels_(std::move(labels)), classes_(classes) {}

  size_t examples() const override { return labels_.size(); }
  size_t features() const override { return 0; }
  size_t classes() const override { return classes_; }

  absl::Status Read(absl::Span<const uint32_t> indices, absl::Span<float>,
                    absl::Span<int32_t> labels) const override {
    PARAMO_CHECK(labels.size() == indices.size());
    for (size_t i = 0; i < indices.size(); ++i) {
      PARAMO_CHECK(indices[i] < labels_.size());
      labels[i] = labels_[indices[i]];
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<uint8_t> labels_;
  const size_t classes_;
};

}  // namespace

std::unique_ptr<Dataset> MakeIndexedDataset(std::vector<uint8_t> labels,
                                            size_t classes) {
  return std::make_unique<IndexedDataset>(std::move(labels), classes);
}

bool IsHeldOut(uint64_t hash) { return Mix64(hash) % kHeldOutOneOf == 0; }

}  // namespace paramo
