#include "server/rule/schedule.h"

#include "absl/strings/str_cat.h"
#include "server/rule/power.h"

namespace paramo {
namespace {

constexpr WorkerClock kClocksMax = WorkerClock{1} << 53;
constexpr double kPi = 3.141592653589793;

// cos(pi x) for 0 <= x <= 1, within two units of the last place of 1.
double CosPi(double x) {
  // The sign is taken off, so that the angle is at most pi / 2. There the
  // Taylor series may end at its 24th power: (pi / 2)^26 / 26! < 1e-21.
  constexpr int kTermsBehindFirst = 12;
  const bool beyond = x > 0.5;
  const double angle = kPi * (beyond ? 1 - x : x);
  const double square = angle * angle;
  // 1 - s/(1 2) (1 - s/(3 4) (1 - ...)), innermost first.
  double sum = 1;
  for (int k = kTermsBehindFirst; k >= 1; --k) {
    sum = 1 - square / ((2.0 * k - 1) * (2.0 * k)) * sum;
  }
  return beyond ? -sum : sum;
}

absl::Status CheckShare(const char* name, double value) {
  if (value >= 0 && value <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("schedule.", name, " is ", value, "; it must be 0 to 1"));
}

}  // namespace

absl::Status Schedule::Validate() const {
  if (static_cast<uint32_t>(kind) > static_cast<uint32_t>(Kind::kCosine)) {
    return absl::InvalidArgumentError("schedule.kind is unknown");
  }
  if (warmup > kClocksMax || period > kClocksMax) {
    return absl::InvalidArgumentError(
        "schedule.warmup and period must be at most 2^53 clocks");
  }
  if (kind != Kind::kConstant && period == 0) {
    return absl::InvalidArgumentError(
        "schedule.period is 0; step and cosine need one of at least 1 clock");
  }
  const absl::Status decay_ok = CheckShare("decay", decay);
  return decay_ok.ok() ? CheckShare("floor", floor) : decay_ok;
}

double Schedule::Factor(WorkerClock clock) const {
  if (clock < warmup) {
    return static_cast<double>(clock + 1) / static_cast<double>(warmup);
  }
  const WorkerClock t = clock - warmup;
  switch (kind) {
    case Kind::kConstant:
      return 1;
    case Kind::kStep:
      return Power(decay, t / period);
    case Kind::kCosine: {
      if (t >= period) return floor;
      const double x = static_cast<double>(t) / static_cast<double>(period);
      return floor + (1 - floor) * ((1 + CosPi(x)) / 2);
    }
  }
  return 1;
}

}  // namespace paramo
