// Models whose parameters are rows of sparse tables, of which one batch needs a
// few: which rows, the loss, and the gradients of exactly those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "worker/data/dataset.h"
#include "worker/data/debgraph.h"
#include "worker/data/libsvm.h"

namespace paramo {

// One table of a model. Within the model a row goes by its number, the place
// of its key in `keys`.
struct SparseTable {
  std::string name;  // "source"; kept in table PREFIX.source
  size_t dim = 0;
  float uniform = 0;           // rows start uniform in [-uniform, uniform)
  std::vector<uint64_t> keys;  // of every row that the model can use
};

// What a batch needs of each table, as SparseModel::tables().
struct SparseStep {
  struct Part {
    std::vector<uint32_t> rows;  // row numbers, none twice
    std::vector<uint64_t> keys;  // of these rows
  };
  std::vector<Part> parts;
  // The model's own: which of the rows above each term of the loss uses.
  std::vector<uint32_t> terms;
};

// One buffer per table: the rows of a step [rows, dim] in its order, or all
// rows of the table [keys, dim].
using ConstRows = absl::Span<const absl::Span<const float>>;
using MutableRows = absl::Span<const absl::Span<float>>;

// Threads: one at a time. Borrows the data it was made of.
class SparseModel {
 public:
  virtual ~SparseModel() = default;

  virtual const std::vector<SparseTable>& tables() const = 0;

  // Decides what the step of `batch` uses. A pure function of the batch.
  // `step` is reused: its vectors keep their memory.
  virtual void Prepare(const Batch& batch, SparseStep& step) = 0;

  // Mean loss over the batch, and its gradient for every row of the step.
  // Gradients are overwritten.
  virtual double Gradients(const Batch& batch, const SparseStep& step,
                           ConstRows rows, MutableRows gradients) = 0;

  // Area under the ROC curve on the held-out data.
  // Shapes: rows[t] [tables()[t].keys.size(), dim], whole tables.
  virtual double HeldOutAuc(ConstRows rows) = 0;
};

// Logistic regression: tables `weight` (a row of 1 per feature) and `bias` (key
// 0); p = sigmoid(sum of weight * value + bias). Both start at 0.
// Borrows `data`.
std::unique_ptr<SparseModel> MakeLogistic(const LibsvmData& data);

// Predicts the edges of a graph. A node has a row as the source of edges and
// one as a target, in tables `source` and `target`, by its key; an edge's score
// is their dot product, its probability the sigmoid. (One row for both roles
// would say that A needs B as much as B needs A: on the Debian graph it ends
// at an AUC of 0.87 where two end at 0.92.)
//
// Every edge comes with `negatives` others from its source to targets drawn
// uniformly, other than the source and its training targets; the seed and the
// batch's number decide. Drawn by degree^0.75, as word2vec does, they teach
// that a popular package is an unlikely target, and the AUC against uniform
// non-edges ends at 0.72.
//
// The loss of an edge is the sum of the logistic losses of its 1 + `negatives`
// terms. Rows start uniform within +-0.05. HeldOutAuc: the held-out edges
// against as many uniform non-edges of the same sources, drawn by the seed.
// Borrows `graph`.
// Source: Mikolov et al. 2013 (negative sampling).
std::unique_ptr<SparseModel> MakeLinkPrediction(const PackageGraph& graph,
                                                size_t dim, size_t negatives,
                                                uint64_t seed);

}  // namespace paramo
