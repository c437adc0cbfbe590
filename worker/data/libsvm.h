// Reader of LIBSVM files: sparse examples of two classes as text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace paramo {

// Examples one behind the other: example e has the features and values
// [offsets[e], offsets[e + 1]).
struct SparseExamples {
  std::vector<uint8_t> labels;       // 0 or 1
  std::vector<uint64_t> offsets{0};  // [examples + 1]
  std::vector<uint64_t> features;    // ascending within an example
  std::vector<float> values;         // as features

  size_t size() const { return labels.size(); }
};

struct LibsvmData {
  SparseExamples train;
  SparseExamples held_out;
};

// Reads `file`, plain or gzip. A line is
//
//   LABEL INDEX:VALUE INDEX:VALUE ...  # comment
//
// with labels +1 and -1, or 1 and 0, and indices ascending; blank lines and
// comments are skipped. One example of twenty is held out, by a hash of its
// number in the file.
//
// Errors: NOT_FOUND, ...      of the file system
//         INVALID_ARGUMENT    "file:line:column: what is wrong"; also when
//                             nothing is left to train on or to hold out
//         DATA_LOSS           a damaged gzip file
//         RESOURCE_EXHAUSTED  kDataLineBytesMax, kDatasetBytesMax
// Source: C.-C. Chang, C.-J. Lin, "LIBSVM", README.
absl::StatusOr<LibsvmData> ReadLibsvm(const std::string& file);

}  // namespace paramo
