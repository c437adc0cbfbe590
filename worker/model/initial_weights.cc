#include "worker/model/initial_weights.h"

#include <algorithm>
#include <cmath>

#include "common/base/random.h"

namespace paramo {

// Each value is one of 2^24 that lie on an exact grid.
void UniformRow(float width, uint64_t seed, uint64_t key,
                absl::Span<float> row) {
  const float grid = width * 0x1p-23f;
  BitGen random(Mix64(seed ^ Mix64(key)));
  for (float& value : row) {
    const int64_t bits = static_cast<int64_t>(random.Next() >> 40);
    value = static_cast<float>(bits - (int64_t{1} << 23)) * grid;
  }
}

std::vector<float> InitialWeights(const TensorInfo& tensor, uint64_t seed,
                                  size_t block) {
  std::vector<float> values(tensor.elements());
  if (tensor.init == TensorInfo::Init::kZeros) return values;
  // Glorot, Bengio 2010, eq. 16: uniform within +-sqrt(6 / (in + out)).
  const double fans =
      static_cast<double>(tensor.fan_in) + static_cast<double>(tensor.fan_out);
  const float width = static_cast<float>(std::sqrt(6.0 / fans));
  for (size_t begin = 0; begin < values.size(); begin += block) {
    const size_t size = std::min(block, values.size() - begin);
    UniformRow(width, seed, /*key=*/begin / block,
               absl::MakeSpan(values).subspan(begin, size));
  }
  return values;
}

}  // namespace paramo
