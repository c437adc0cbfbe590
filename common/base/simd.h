// Highway for one fixed target, chosen by the compiler's flags. Include this,
// never <hwy/highway.h>, wherever arithmetic must be bit-identical.
#pragma once

// Highway counts AES among its AVX2 and would fall back to SSSE3 under
// -march=x86-64-v3, which lacks it; there MulAdd is two roundings. Nothing here
// needs AES.
#ifndef HWY_DISABLE_PCLMUL_AES
#define HWY_DISABLE_PCLMUL_AES
#endif
#ifndef HWY_COMPILE_ONLY_STATIC
#define HWY_COMPILE_ONLY_STATIC
#endif
#include <hwy/highway.h>

#include <cstring>

static_assert(HWY_NATIVE_FMA,
              "Paramo needs a fused multiply-add: AVX2+FMA, NEON");

namespace paramo {

namespace hn = hwy::HWY_NAMESPACE;

// values[i], at any alignment.
inline float LoadFloat(const float* values, size_t i) {
  float value;
  std::memcpy(&value, reinterpret_cast<const char*>(values) + i * sizeof(float),
              sizeof(float));
  return value;
}

// A vector of values, at any alignment. (Highway's vectors of one lane load
// what a `const float*` points at.)
template <class D>
hn::Vec<D> LoadFloats(D d, const float* values) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    return hn::Set(d, LoadFloat(values, 0));
  } else {
    return hn::LoadU(d, values);
  }
}

}  // namespace paramo
