// What a reader of examples offers to the training loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace paramo {

// Labelled examples with random access. Immutable once made.
// Threads: any.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual size_t examples() const = 0;
  // Floats of one example; 0 where sparse models look it up by its index.
  virtual size_t features() const = 0;
  virtual size_t classes() const = 0;  // labels are in [0, classes)

  // Copies the examples `indices` in that order.
  //
  // Shapes: indices [n], each < examples(); features [n, features()];
  //         labels [n].
  // Errors: whatever the source of the data reports; in-memory sets have none.
  virtual absl::Status Read(absl::Span<const uint32_t> indices,
                            absl::Span<float> features,
                            absl::Span<int32_t> labels) const = 0;
};

// The examples of one step.
struct Batch {
  size_t size = 0;
  uint64_t number = 0;  // no other batch of the job has it; seeds draws
  std::vector<uint32_t> indices;  // [size], in the data set
  std::vector<float> features;    // [size, features]
  std::vector<int32_t> labels;    // [size]
};

}  // namespace paramo
