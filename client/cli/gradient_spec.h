// What of a table acts on gradients and learning rates, as it is typed:
// --clipping norm:5 --schedule warmup:500+cosine:10000,0.01
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/config/config.h"

namespace paramo::v1 {
class AlterTableRequest;
class Clipping;
class Schedule;
class TableSpec;
}  // namespace paramo::v1

namespace paramo::cli {

// Empty, or below 0: not given.
struct GradientFlags {
  std::string clipping;           // "value:1,norm:5", "off"
  std::string schedule;           // "warmup:500+step:1000,0.5", "constant"
  std::string staleness_scaling;  // "on", "off"
  double delay_compensation = -1;

  void AddTo(Config& config);
  bool any() const {
    return !clipping.empty() || !schedule.empty() ||
           !staleness_scaling.empty() || delay_compensation >= 0;
  }
};

// All: INVALID_ARGUMENT naming the flag, the form expected and an example.
absl::Status ReadClipping(const std::string& text, v1::Clipping& clipping);
absl::Status ReadSchedule(const std::string& text, v1::Schedule& schedule);
absl::Status ReadGradientFlags(const GradientFlags& flags, v1::TableSpec& spec);
absl::Status ReadGradientFlags(const GradientFlags& flags,
                               v1::AlterTableRequest& request);

// The same words back: "clipping norm:5, schedule step:1000,0.5"; "plain" when
// nothing of it is on.
std::string ScheduleText(const v1::Schedule& schedule);
std::string GradientText(const v1::TableSpec& spec);

}  // namespace paramo::cli
