#include "server/rule/normal_quantile.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace paramo {
namespace {

// Coefficients by falling power, as Horner's scheme reads them.
constexpr double kCentralTop[] = {2509.0809287301226727, 33430.575583588128105,
                                  67265.770927008700853, 45921.953931549871457,
                                  13731.693765509461125, 1971.5909503065514427,
                                  133.14166789178437745, 3.3871328727963666080};
constexpr double kCentralBottom[] = {
    5226.4952788528545610, 28729.085735721942674,
    39307.895800092710610, 21213.794301586595867,
    5394.1960214247511077, 687.18700749205790830,
    42.313330701600911252, 1.0};
constexpr double kTailTop[] = {
    7.74545014278341407640e-4, 2.27238449892691845833e-2,
    2.41780725177450611770e-1, 1.27045825245236838258,
    3.64784832476320460504,    5.76949722146069140550,
    4.63033784615654529590,    1.42343711074968357734};
constexpr double kTailBottom[] = {
    1.05075007164441684324e-9, 5.47593808499534494600e-4,
    1.51986665636164571966e-2, 1.48103976427480074590e-1,
    6.89767334985100004550e-1, 1.67638483018380384940,
    2.05319162663775882187,    1.0};
constexpr double kFarTop[] = {
    2.01033439929228813265e-7, 2.71155556874348757815e-5,
    1.24266094738807843860e-3, 2.65321895265761230930e-2,
    2.96560571828504891230e-1, 1.78482653991729133580,
    5.46378491116411436990,    6.65790464350110377720};
constexpr double kFarBottom[] = {
    2.04426310338993978564e-15, 1.42151175831644588870e-7,
    1.84631831751005468180e-5,  7.86869131145613259100e-4,
    1.48753612908506148525e-2,  1.36929880922735805310e-1,
    5.99832206555887937690e-1,  1.0};

template <size_t kTerms>
double Horner(const double (&coefficients)[kTerms], double x) {
  double sum = coefficients[0];
  for (size_t i = 1; i < kTerms; ++i) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

// Natural logarithm of a positive normal number, within an ulp or two.
double Log(double x) {
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)): the bits of sqrt(1/2) are taken
  // off, so that the exponent's carry does the comparison.
  constexpr uint64_t kRootHalf = 0x3fe6a09e667f3bcdull;
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const int64_t exponent = static_cast<int64_t>(bits - kRootHalf) >> 52;
  bits -= static_cast<uint64_t>(exponent) << 52;
  double m;
  std::memcpy(&m, &bits, sizeof(m));

  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.1716. The series ends
  // where the next term is below 2^-53 of the sum: 0.02944^11 / 23 < 1e-18.
  constexpr double kSeries[] = {1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15,
                                1.0 / 13, 1.0 / 11, 1.0 / 9,  1.0 / 7,
                                1.0 / 5,  1.0 / 3,  1.0};
  constexpr double kLn2 = 0.6931471805599453;
  const double s = (m - 1) / (m + 1);
  const double log_m = (s + s) * Horner(kSeries, s * s);
  return std::fma(static_cast<double>(exponent), kLn2, log_m);
}

}  // namespace

double NormalQuantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = std::fma(-q, q, 0.180625);
    return q * (Horner(kCentralTop, r) / Horner(kCentralBottom, r));
  }
  const double tail = q < 0 ? p : 1 - p;
  const double r = std::sqrt(-Log(tail));
  const double magnitude =
      r <= 5 ? Horner(kTailTop, r - 1.6) / Horner(kTailBottom, r - 1.6)
             : Horner(kFarTop, r - 5) / Horner(kFarBottom, r - 5);
  return q < 0 ? -magnitude : magnitude;
}

}  // namespace paramo
