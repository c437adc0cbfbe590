#include <algorithm>

#include "common/base/check.h"
#include "common/base/random.h"
#include "worker/model/sparse_math.h"
#include "worker/model/sparse_model.h"

namespace paramo {
namespace {

enum : size_t { kSource = 0, kTarget = 1 };

constexpr float kInitialWidth = 0.05f;

// A source that needs nearly everything has hardly a non-target to be drawn;
// so many draws find one unless it needs most of the graph.
constexpr int kDrawsMax = 16;

float Dot(const float* a, const float* b, size_t dim) {
  float sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += a[i] * b[i];
  return sum;
}

// out += scale * in
void AddScaled(float scale, const float* in, size_t dim, float* out) {
  for (size_t i = 0; i < dim; ++i) out[i] += scale * in[i];
}

bool Contains(const std::vector<Edge>& edges, Edge edge) {
  return std::binary_search(edges.begin(), edges.end(), edge);
}

class LinkPrediction final : public SparseModel {
 public:
  LinkPrediction(const PackageGraph& graph, size_t dim, size_t negatives,
                 uint64_t seed)
      : graph_(graph),
        dim_(dim),
        negatives_(negatives),
        seed_(seed),
        tables_{{"source", dim, kInitialWidth, graph.keys},
                {"target", dim, kInitialWidth, graph.keys}},
        sources_(graph.keys.size()),
        targets_(graph.keys.size()) {}

  const std::vector<SparseTable>& tables() const override { return tables_; }

  // step.terms: for each edge the place of its source among the source rows,
  // then those of its target and its negatives among the target rows.
  void Prepare(const Batch& batch, SparseStep& step) override {
    step.parts.resize(2);
    step.terms.clear();
    sources_.Begin(&step.parts[kSource].rows);
    targets_.Begin(&step.parts[kTarget].rows);
    BitGen random(Mix64(Mix64(seed_) ^ batch.number));
    for (uint32_t e : batch.indices) {
      const Edge edge = graph_.train[e];
      step.terms.push_back(sources_.Place(edge.source));
      step.terms.push_back(targets_.Place(edge.target));
      for (size_t n = 0; n < negatives_; ++n) {
        step.terms.push_back(targets_.Place(
            DrawNonTarget(random, edge.source, /*held_out_too=*/false)));
      }
    }
    for (SparseStep::Part& part : step.parts) {
      part.keys.clear();
      for (uint32_t row : part.rows) part.keys.push_back(graph_.keys[row]);
    }
  }

  double Gradients(const Batch& batch, const SparseStep& step, ConstRows rows,
                   MutableRows gradients) override {
    PARAMO_CHECK(rows[kSource].size() ==
                 step.parts[kSource].rows.size() * dim_);
    PARAMO_CHECK(rows[kTarget].size() ==
                 step.parts[kTarget].rows.size() * dim_);
    for (const auto& gradient : gradients) {
      std::fill(gradient.begin(), gradient.end(), 0.0f);
    }
    const float share = 1.0f / static_cast<float>(batch.size);
    double loss = 0;
    const uint32_t* term = step.terms.data();
    for (size_t e = 0; e < batch.size; ++e) {
      const size_t source_at = *term++ * dim_;
      for (size_t n = 0; n <= negatives_; ++n) {
        const size_t target_at = *term++ * dim_;
        const float* source = &rows[kSource][source_at];
        const float* target = &rows[kTarget][target_at];
        const LogisticTerm at =
            Logistic(Dot(source, target, dim_), /*label=*/n == 0);
        loss += at.loss;
        const float slope = at.slope * share;
        AddScaled(slope, target, dim_, &gradients[kSource][source_at]);
        AddScaled(slope, source, dim_, &gradients[kTarget][target_at]);
      }
    }
    return loss / static_cast<double>(batch.size);
  }

  double HeldOutAuc(ConstRows rows) override {
    auto score = [&](uint32_t source, uint32_t target) {
      return Dot(&rows[kSource][source * dim_], &rows[kTarget][target * dim_],
                 dim_);
    };
    BitGen random(Mix64(~seed_));
    std::vector<std::pair<float, bool>> scored;
    for (const Edge& edge : graph_.held_out) {
      scored.emplace_back(score(edge.source, edge.target), true);
      const uint32_t other =
          DrawNonTarget(random, edge.source, /*held_out_too=*/true);
      scored.emplace_back(score(edge.source, other), false);
    }
    return Auc(scored);
  }

 private:
  // Training must not know the held-out edges: it may draw them.
  uint32_t DrawNonTarget(BitGen& random, uint32_t source, bool held_out_too) {
    uint32_t target = 0;
    for (int draw = 0; draw < kDrawsMax; ++draw) {
      target = static_cast<uint32_t>(random.Below(graph_.keys.size()));
      if (target == source || Contains(graph_.train, {source, target}))
        continue;
      if (held_out_too && Contains(graph_.held_out, {source, target})) continue;
      break;
    }
    return target;
  }

  const PackageGraph& graph_;
  const size_t dim_;
  const size_t negatives_;
  const uint64_t seed_;
  const std::vector<SparseTable> tables_;
  DistinctRows sources_;
  DistinctRows targets_;
};

}  // namespace

std::unique_ptr<SparseModel> MakeLinkPrediction(const PackageGraph& graph,
                                                size_t dim, size_t negatives,
                                                uint64_t seed) {
  return std::make_unique<LinkPrediction>(graph, dim, negatives, seed);
}

}  // namespace paramo
