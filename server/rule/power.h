// base^exponent by squaring, in a fixed order of correctly rounded
// multiplications: libm's pow may differ between versions, this cannot.
#pragma once

#include <cstdint>

namespace paramo {

inline double Power(double base, uint64_t exponent) {
  double power = 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power *= base;
    base *= base;
  }
  return power;
}

}  // namespace paramo
