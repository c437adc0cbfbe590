#include "worker/model/initial_weights.h"

#include <algorithm>
#include <cmath>

#include "common/base/random.h"

namespace paramo {

std::vector<float> InitialWeights(const TensorInfo& tensor, uint64_t seed,
                                  size_t block) {
  std::vector<float> values(tensor.elements());
  if (tensor.init == TensorInfo::Init::kZeros) return values;
  // Glorot, Bengio 2010, eq. 16: uniform within +-sqrt(6 / (in + out)), each
  // value one of 2^24 that lie on an exact grid.
  const double fans =
      static_cast<double>(tensor.fan_in) + static_cast<double>(tensor.fan_out);
  const float grid = static_cast<float>(std::sqrt(6.0 / fans)) * 0x1p-23f;
  for (size_t begin = 0; begin < values.size(); begin += block) {
    BitGen random(Mix64(seed ^ Mix64(begin / block)));
    const size_t end = std::min(begin + block, values.size());
    for (size_t i = begin; i < end; ++i) {
      const int64_t bits = static_cast<int64_t>(random.Next() >> 40);
      values[i] = static_cast<float>(bits - (int64_t{1} << 23)) * grid;
    }
  }
  return values;
}

}  // namespace paramo
