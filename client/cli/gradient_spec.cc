#include "client/cli/gradient_spec.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/value.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

constexpr int64_t kClocksMax = int64_t{1} << 53;

// "norm:5" -> {"norm", "5"}; without a colon the second is empty.
std::pair<std::string, std::string> Halves(absl::string_view text,
                                           char separator) {
  return absl::StrSplit(text, absl::MaxSplits(separator, 1));
}

// "constant", "step:1000,0.5", "cosine:10000" or "cosine:10000,0.01".
bool ReadKind(absl::string_view text, v1::Schedule& schedule) {
  const auto kind = Halves(text, ':');
  const std::vector<std::string> numbers = absl::StrSplit(kind.second, ',');
  if (kind.first == "constant") {
    schedule.set_kind(v1::Schedule::CONSTANT);
    return kind.second.empty();
  }
  const bool cosine = kind.first == "cosine";
  if (!cosine && kind.first != "step") return false;
  auto period = ParseInt(numbers[0], {1, kClocksMax});
  if (!period.ok() || numbers.size() > 2) return false;
  schedule.set_kind(cosine ? v1::Schedule::COSINE : v1::Schedule::STEP);
  schedule.set_period(static_cast<uint64_t>(*period));
  if (numbers.size() == 1) return cosine;  // its floor is 0
  auto share = ParseNumber(numbers[1], {0, 1});
  if (!share.ok()) return false;
  cosine ? schedule.set_floor(*share) : schedule.set_decay(*share);
  return true;
}

template <typename Message>
absl::Status ReadInto(const GradientFlags& flags, Message& out) {
  if (!flags.clipping.empty()) {
    PARAMO_RETURN_IF_ERROR(
        ReadClipping(flags.clipping, *out.mutable_clipping()));
  }
  if (!flags.schedule.empty()) {
    PARAMO_RETURN_IF_ERROR(
        ReadSchedule(flags.schedule, *out.mutable_schedule()));
  }
  if (!flags.staleness_scaling.empty()) {
    out.set_staleness_scaling(flags.staleness_scaling == "on");
  }
  if (flags.delay_compensation >= 0) {
    out.set_delay_compensation(flags.delay_compensation);
  }
  return absl::OkStatus();
}

}  // namespace

void GradientFlags::AddTo(Config& config) {
  config
      .Text("clipping", clipping,
            "off, value:MAX, norm:MAX or value:MAX,norm:MAX")
      .Unit("BOUNDS")
      .FlagOnly();
  config
      .Text("schedule", schedule,
            "of lr by clock: [warmup:N+] constant, step:EVERY,DECAY or "
            "cosine:OVER[,FLOOR]")
      .Unit("SCHEDULE")
      .FlagOnly();
  config
      .Choice("staleness-scaling", staleness_scaling, {"on", "off"},
              "async: lr / (1 + staleness); off at first")
      .FlagOnly();
  config
      .Number("delay-compensation", delay_compensation,
              {0, kDelayCompensationMax}, "async: lambda of DC-ASGD; 0 is off")
      .Default("")
      .FlagOnly();
}

absl::Status ReadClipping(const std::string& text, v1::Clipping& clipping) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("--clipping: `", Printable(text, 64),
                   "` is not off, value:MAX, norm:MAX or value:MAX,norm:MAX, "
                   "e.g. norm:5"));
  clipping.Clear();
  if (text == "off") return absl::OkStatus();
  for (absl::string_view bound : absl::StrSplit(text, ',')) {
    const auto halves = Halves(bound, ':');
    auto max = ParseNumber(halves.second, {});
    if (!max.ok() || *max <= 0) return bad;
    if (halves.first == "value" && clipping.value() == 0) {
      clipping.set_value(*max);
    } else if (halves.first == "norm" && clipping.norm() == 0) {
      clipping.set_norm(*max);
    } else {
      return bad;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadSchedule(const std::string& text, v1::Schedule& schedule) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("--schedule: `", Printable(text, 64),
                   "` is not [warmup:CLOCKS+] constant, step:EVERY,DECAY or "
                   "cosine:OVER[,FLOOR], e.g. warmup:500+cosine:10000,0.01"));
  schedule.Clear();
  auto [first, rest] = Halves(text, '+');
  const auto warmup = Halves(first, ':');
  if (warmup.first != "warmup") {
    return ReadKind(text, schedule) ? absl::OkStatus() : bad;
  }
  auto clocks = ParseInt(warmup.second, {1, kClocksMax});
  if (!clocks.ok()) return bad;
  schedule.set_warmup(static_cast<uint64_t>(*clocks));
  if (first == text) return absl::OkStatus();  // warm-up alone
  return ReadKind(rest, schedule) ? absl::OkStatus() : bad;
}

absl::Status ReadGradientFlags(const GradientFlags& flags,
                               v1::TableSpec& spec) {
  return ReadInto(flags, spec);
}

absl::Status ReadGradientFlags(const GradientFlags& flags,
                               v1::AlterTableRequest& request) {
  return ReadInto(flags, request);
}

std::string ScheduleText(const v1::Schedule& schedule) {
  std::vector<std::string> parts;
  if (schedule.warmup() != 0) {
    parts.push_back(absl::StrCat("warmup:", schedule.warmup()));
  }
  if (schedule.kind() == v1::Schedule::STEP) {
    parts.push_back(
        absl::StrCat("step:", schedule.period(), ",", schedule.decay()));
  } else if (schedule.kind() == v1::Schedule::COSINE) {
    parts.push_back(
        absl::StrCat("cosine:", schedule.period(), ",", schedule.floor()));
  }
  if (parts.empty()) return "constant";
  return absl::StrJoin(parts, "+");
}

std::string GradientText(const v1::TableSpec& spec) {
  std::vector<std::string> parts;
  const v1::Clipping& clipping = spec.clipping();
  std::vector<std::string> bounds;
  if (clipping.value() != 0) {
    bounds.push_back(absl::StrCat("value:", clipping.value()));
  }
  if (clipping.norm() != 0) {
    bounds.push_back(absl::StrCat("norm:", clipping.norm()));
  }
  if (!bounds.empty()) {
    parts.push_back(absl::StrCat("clipping ", absl::StrJoin(bounds, ",")));
  }
  const std::string schedule = ScheduleText(spec.schedule());
  if (schedule != "constant") {
    parts.push_back(absl::StrCat("schedule ", schedule));
  }
  if (spec.staleness_scaling()) parts.push_back("staleness-scaling");
  if (spec.delay_compensation() != 0) {
    parts.push_back(
        absl::StrCat("delay-compensation ", spec.delay_compensation()));
  }
  if (parts.empty()) return "plain";
  return absl::StrJoin(parts, ", ");
}

}  // namespace paramo::cli
