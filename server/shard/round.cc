#include "server/shard/round.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace paramo {
namespace {

// One gradient row of a round.
struct Term {
  Key key;
  uint32_t order;  // position in the sum
  float weight;
  const float* row;
  const Codec* codec;
};

// Rows summed at a time: 256 x 64 floats are 64 KiB, an L2 visit.
constexpr size_t kRowsPerBatch = 256;

float LoadFloat(const float* unaligned, size_t i) {
  float value;
  std::memcpy(&value, reinterpret_cast<const char*>(unaligned) + i * 4, 4);
  return value;
}

// acc = sum of weight x row over the terms of one key, in their order.
// Rows are decoded to `scratch` [dim], one at a time.
void SumTerms(absl::Span<const Term> terms, uint32_t dim, float* scratch,
              float* acc) {
  const Term& first = terms[0];
  const float* row = first.codec->Floats(first.row, dim, 1, scratch);
  for (uint32_t i = 0; i < dim; ++i) {
    acc[i] = first.weight * LoadFloat(row, i);
  }
  for (const Term& term : terms.subspan(1)) {
    row = term.codec->Floats(term.row, dim, 1, scratch);
    for (uint32_t i = 0; i < dim; ++i) {
      acc[i] = std::fma(term.weight, LoadFloat(row, i), acc[i]);
    }
  }
}

void ApplyMean(TableId table, uint32_t dim, std::vector<Term>& terms,
               absl::FunctionRef<void(const MeanGradient&)> apply) {
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
    return a.key != b.key ? a.key < b.key : a.order < b.order;
  });
  std::vector<float> sums(std::min(kRowsPerBatch, terms.size()) * dim);
  std::vector<float> scratch(dim);
  std::vector<Key> keys;
  std::vector<const float*> rows;
  size_t at = 0;
  while (at < terms.size()) {
    keys.clear();
    rows.clear();
    while (at < terms.size() && keys.size() < kRowsPerBatch) {
      size_t end = at + 1;
      while (end < terms.size() && terms[end].key == terms[at].key) ++end;
      float* acc = sums.data() + keys.size() * dim;
      SumTerms(absl::MakeConstSpan(terms).subspan(at, end - at), dim,
               scratch.data(), acc);
      keys.push_back(terms[at].key);
      rows.push_back(acc);
      at = end;
    }
    apply({table, keys, rows});
  }
}

}  // namespace

void RoundBuffer::Add(WorkerClock clock, WorkerId worker, Contribution part) {
  rounds_[clock][worker].parts.push_back(std::move(part));
}

void RoundBuffer::End(WorkerClock clock, WorkerId worker, uint32_t examples) {
  WorkerStep& step = rounds_[clock][worker];
  step.examples = examples;
  step.ended = true;
}

size_t RoundBuffer::DropWorker(WorkerId worker, WorkerClock first_without) {
  size_t dropped = 0;
  for (auto& [clock, steps] : rounds_) {
    auto step = steps.find(worker);
    if (step == steps.end()) continue;
    if (step->second.ended && clock < first_without) continue;
    dropped += step->second.parts.size();
    steps.erase(step);
  }
  return dropped;
}

void RoundBuffer::Close(WorkerClock round,
                        absl::FunctionRef<uint32_t(TableId)> dim_of,
                        absl::FunctionRef<void(const MeanGradient&)> apply) {
  auto open = rounds_.find(round);
  if (open == rounds_.end()) return;
  uint64_t examples = 0;
  for (const auto& [worker, step] : open->second) {
    if (step.ended) examples += step.examples;
  }
  std::map<TableId, std::vector<Term>> terms_of;
  uint32_t order = 0;
  for (const auto& [worker, step] : open->second) {
    if (!step.ended || step.examples == 0) continue;
    float weight =
        static_cast<float>(step.examples) / static_cast<float>(examples);
    for (const Contribution& part : step.parts) {
      std::vector<Term>& terms = terms_of[part.table];
      for (size_t i = 0; i < part.keys.size(); ++i) {
        terms.push_back(
            {part.keys[i], order, weight, part.rows[i], part.codec});
      }
      ++order;
    }
  }
  for (auto& [table, terms] : terms_of) {
    uint32_t dim = dim_of(table);
    if (dim != 0) ApplyMean(table, dim, terms, apply);  // 0: dropped meanwhile
  }
  rounds_.erase(open);
}

}  // namespace paramo
