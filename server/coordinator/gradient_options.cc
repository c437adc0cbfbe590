// What of a TableSpec acts on gradients and learning rates, besides the rule.
#include <cfloat>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/v1/cluster.pb.h"
#include "server/coordinator/table_spec.h"
#include "server/coordinator/validate.h"

namespace paramo {
namespace {

// 0 is off; f32 must see what is above 0 as such, and as finite.
absl::Status ValidateBound(absl::string_view field, double bound) {
  if (bound == 0 || (bound >= FLT_MIN && bound <= FLT_MAX)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", bound,
                   "; it must be 0 (off), or above 0 and finite in f32"));
}

// `used`: whether the schedule's kind reads the field.
absl::Status ValidateShare(absl::string_view field, bool used, double value) {
  if (used ? value >= 0 && value <= 1 : value == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be ",
                   used ? "0 to 1" : "0 for this kind of schedule"));
}

absl::Status ValidateSchedule(const v1::Schedule& schedule) {
  constexpr uint64_t kClocksMax = uint64_t{1} << 53;  // f64 counts so far
  if (!v1::Schedule::Kind_IsValid(schedule.kind())) {
    return absl::InvalidArgumentError(
        absl::StrCat("schedule.kind ", static_cast<int>(schedule.kind()),
                     " is unknown; 0 to 2 are defined"));
  }
  const bool constant = schedule.kind() == v1::Schedule::CONSTANT;
  PARAMO_RETURN_IF_ERROR(
      ValidateRange("schedule.warmup", schedule.warmup(), 0, kClocksMax));
  PARAMO_RETURN_IF_ERROR(ValidateRange("schedule.period", schedule.period(),
                                       constant ? 0 : 1,
                                       constant ? 0 : kClocksMax));
  PARAMO_RETURN_IF_ERROR(ValidateShare("schedule.decay",
                                       schedule.kind() == v1::Schedule::STEP,
                                       schedule.decay()));
  return ValidateShare("schedule.floor",
                       schedule.kind() == v1::Schedule::COSINE,
                       schedule.floor());
}

}  // namespace

absl::Status ValidateGradientOptions(const v1::TableSpec& spec) {
  const v1::Clipping& clipping = spec.clipping();
  PARAMO_RETURN_IF_ERROR(ValidateBound("clipping.value", clipping.value()));
  PARAMO_RETURN_IF_ERROR(ValidateBound("clipping.norm", clipping.norm()));
  PARAMO_RETURN_IF_ERROR(ValidateSchedule(spec.schedule()));
  const double lambda = spec.delay_compensation();
  if (lambda == 0 || (lambda >= FLT_MIN && lambda <= kDelayCompensationMax)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("delay_compensation is ", lambda, "; it must be 0 (off) to ",
                   kDelayCompensationMax));
}

}  // namespace paramo
