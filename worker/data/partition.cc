#include "worker/data/partition.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr size_t kLabelsShown = 20;

uint64_t SeedOf(uint64_t seed, uint64_t epoch) {
  return Mix64(Mix64(seed) ^ epoch);
}

void Shuffle(BitGen& random, std::vector<uint32_t>& items) {
  for (size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[random.Below(i)]);
  }
}

}  // namespace

std::vector<uint32_t> EpochOrder(uint64_t seed, uint64_t epoch,
                                 size_t examples) {
  std::vector<uint32_t> order(examples);
  std::iota(order.begin(), order.end(), 0u);
  BitGen random(SeedOf(seed, epoch));
  Shuffle(random, order);
  return order;
}

// The j-th of a label's n examples belongs at (j + offset) / n of the way, so
// any stretch of the way holds its share of the label to within one example;
// the random offset keeps small labels from crowding at the front.
std::vector<uint32_t> StratifiedOrder(uint64_t seed, uint64_t epoch,
                                      absl::Span<const int32_t> labels) {
  std::map<int32_t, std::vector<uint32_t>> strata;  // by label, ascending
  for (size_t i = 0; i < labels.size(); ++i) {
    strata[labels[i]].push_back(static_cast<uint32_t>(i));
  }
  BitGen random(SeedOf(seed, epoch));
  std::vector<std::pair<double, uint32_t>> places;
  places.reserve(labels.size());
  for (auto& [label, examples] : strata) {
    Shuffle(random, examples);
    const double offset = random.Uniform();
    for (size_t j = 0; j < examples.size(); ++j) {
      places.emplace_back((static_cast<double>(j) + offset) /
                              static_cast<double>(examples.size()),
                          examples[j]);
    }
  }
  std::sort(places.begin(), places.end());
  std::vector<uint32_t> order;
  order.reserve(places.size());
  for (const auto& [place, example] : places) order.push_back(example);
  return order;
}

absl::StatusOr<std::vector<int32_t>> LabelsOf(const Dataset& dataset) {
  constexpr size_t kChunk = 512;
  std::vector<int32_t> labels(dataset.examples());
  std::vector<uint32_t> indices;
  std::vector<float> features(kChunk * dataset.features());
  for (size_t begin = 0; begin < labels.size(); begin += kChunk) {
    const size_t size = std::min(kChunk, labels.size() - begin);
    indices.resize(size);
    std::iota(indices.begin(), indices.end(), static_cast<uint32_t>(begin));
    PARAMO_RETURN_IF_ERROR(dataset.Read(
        indices, absl::MakeSpan(features).subspan(0, size * dataset.features()),
        absl::MakeSpan(labels).subspan(begin, size)));
  }
  return labels;
}

std::string LabelHistogram(absl::Span<const int32_t> labels) {
  std::map<int32_t, size_t> counts;
  for (int32_t label : labels) ++counts[label];
  std::string text = absl::StrCat(labels.size(), " examples:");
  size_t shown = 0;
  for (const auto& [label, count] : counts) {
    if (shown == kLabelsShown) {
      absl::StrAppend(&text, " and ", counts.size() - shown, " more labels");
      break;
    }
    absl::StrAppendFormat(&text, "%s label %d %d (%.1f %%)",
                          shown++ == 0 ? "" : ",", label, count,
                          100.0 * static_cast<double>(count) /
                              static_cast<double>(labels.size()));
  }
  return text;
}

}  // namespace paramo
