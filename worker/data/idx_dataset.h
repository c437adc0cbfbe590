// Reader of IDX files, plain or gzip: the format of MNIST and its relatives.
// A file is a big-endian magic number, one size per dimension, then bytes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"

namespace paramo {

struct IdxData {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;
};

// Reads DIR/train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz], and
// the t10k- pair, which is the test set, into memory. Pixels are standardised
// as they are read out: (pixel - mean) / deviation, both over all pixels of
// the training set.
//
// Errors, each naming file, offset and what to do:
//   NOT_FOUND           neither the plain nor the .gz file is there
//   DATA_LOSS           truncated, damaged, or longer than its header says
//   INVALID_ARGUMENT    wrong magic; images and labels differ in number, or
//                       the two sets in image size; a label is not below
//                       `classes`
//   RESOURCE_EXHAUSTED  more than kDatasetBytesMax
// Cost: both files; memory grows with what is read, never with a claim.
// Source: Y. LeCun, "The MNIST database", file formats.
absl::StatusOr<IdxData> OpenIdxData(const std::string& directory,
                                    size_t classes);

}  // namespace paramo
