#include "server/rule/initializer.h"

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "server/rule/normal_quantile.h"

namespace paramo {
namespace {

// Keeps every value finite: a normal draw is below 8.3 deviations.
constexpr double kMagnitudeMax = 1e30;

constexpr uint64_t kSplitMixStep = 0x9e3779b97f4a7c15ull;

void StoreFloat(void* out, uint32_t i, float value) {
  std::memcpy(static_cast<char*>(out) + size_t{i} * sizeof(float), &value,
              sizeof(float));
}

void FillConstant(float value, void* out, uint32_t dim) {
  for (uint32_t i = 0; i < dim; ++i) StoreFloat(out, i, value);
}

// Uniform in [-width, width): the top 24 bits, centred, are an exact f32.
void FillUniform(uint64_t state, double width, void* out, uint32_t dim) {
  const float scale = static_cast<float>(width) * 0x1p-23f;
  for (uint32_t i = 0; i < dim; ++i) {
    const uint64_t bits = Mix64(state + i * kSplitMixStep);
    const int32_t centred = static_cast<int32_t>(bits >> 40) - (1 << 23);
    StoreFloat(out, i, static_cast<float>(centred) * scale);
  }
}

// 52 bits and a half: p is exact, never 0 or 1, and symmetric about 1/2.
void FillNormal(uint64_t state, double deviation, void* out, uint32_t dim) {
  for (uint32_t i = 0; i < dim; ++i) {
    const uint64_t bits = Mix64(state + i * kSplitMixStep);
    const double p = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
    StoreFloat(out, i, static_cast<float>(deviation * NormalQuantile(p)));
  }
}

}  // namespace

absl::Status Initializer::Validate() const {
  // Negated comparisons, so that NaN fails them.
  const bool is_width = kind == Kind::kUniform || kind == Kind::kNormal;
  if ((is_width || kind == Kind::kConstant) &&
      !(std::fabs(a) <= kMagnitudeMax)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "initializer: a = ", a, " must lie within +-", kMagnitudeMax));
  }
  if (is_width && a < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "initializer: a = ", a, " is a width and must not be negative"));
  }
  if (kind == Kind::kXavier && uint64_t{fan_in} + fan_out == 0) {
    return absl::InvalidArgumentError(
        "initializer: xavier needs fan_in and fan_out, the widths of the "
        "layers it connects");
  }
  if (kind > Kind::kXavier) {
    return absl::InvalidArgumentError(absl::StrCat(
        "initializer: kind ", static_cast<uint32_t>(kind),
        " is unknown (zeros, constant, uniform, normal, xavier: 0 to 4)"));
  }
  return absl::OkStatus();
}

void Initializer::Fill(uint64_t seed, Key key, void* out, uint32_t dim) const {
  const uint64_t state = Mix64(seed ^ Mix64(key));
  switch (kind) {
    case Kind::kZeros:
      return FillConstant(0, out, dim);
    case Kind::kConstant:
      return FillConstant(static_cast<float>(a), out, dim);
    case Kind::kUniform:
      return FillUniform(state, a, out, dim);
    case Kind::kNormal:
      return FillNormal(state, a, out, dim);
    case Kind::kXavier: {
      const double fans = static_cast<double>(uint64_t{fan_in} + fan_out);
      return FillUniform(state, std::sqrt(6.0 / fans), out, dim);
    }
  }
}

bool operator==(const Initializer& x, const Initializer& y) {
  return x.kind == y.kind && x.a == y.a && x.fan_in == y.fan_in &&
         x.fan_out == y.fan_out;
}

}  // namespace paramo
