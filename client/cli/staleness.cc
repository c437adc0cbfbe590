#include "client/cli/staleness.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "client/core/control.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

constexpr char kBuckets[] = "paramo_push_staleness_clocks_bucket";

// A group ends at 2^k - 1 and begins at 2^(k-1): 0, 1, 2-3, 4-7.
std::string GroupName(uint64_t highest) {
  const uint64_t lowest = highest / 2 + (highest > 0 ? 1 : 0);
  if (lowest == highest) return absl::StrCat(highest);
  return absl::StrCat(lowest, "-", highest);
}

}  // namespace

// Buckets come in ascending order, each with all that the ones before it have.
void Staleness::Add(const v1::StatsReply& stats, const std::string& job) {
  const std::string labels = absl::StrCat("{job=\"", job, "\",le=\"");
  uint64_t before = 0;
  for (const v1::Metric& metric : stats.metrics()) {
    if (metric.name() != kBuckets || !absl::StartsWith(metric.labels(), labels))
      continue;
    const absl::string_view le =
        absl::string_view(metric.labels()).substr(labels.size());
    uint64_t highest = 0;
    if (!absl::SimpleAtoi(le.substr(0, le.find('"')), &highest)) continue;
    const auto below = static_cast<uint64_t>(metric.value());
    if (below > before) {
      counts_[highest] += below - before;
      pushes_ += below - before;
      before = below;
    }
  }
}

double Staleness::ShareOf(uint64_t pushes) const {
  return static_cast<double>(pushes) / static_cast<double>(pushes_);
}

std::string Staleness::Text() const {
  std::string text;
  for (const auto& group : counts_) {
    const double percent = 100 * ShareOf(group.second);
    absl::StrAppend(
        &text, text.empty() ? "" : "  ", GroupName(group.first), ": ",
        percent < 0.5 ? "<1" : absl::StrFormat("%.0f", percent), " %");
  }
  return text;
}

std::string Staleness::Json() const {
  std::string text;
  for (const auto& group : counts_) {
    absl::StrAppendFormat(&text, "%s\"%s\": %.4f", text.empty() ? "" : ", ",
                          GroupName(group.first), ShareOf(group.second));
  }
  return absl::StrCat("{", text, "}");
}

Staleness AskStaleness(client::Control& control, const std::string& job,
                       absl::Duration timeout) {
  Staleness all;
  const auto state = control.State(timeout);
  if (!state.ok()) return all;
  for (const v1::Server& server : (*state)->servers()) {
    if (server.status() != v1::SERVER_STATUS_UP) continue;
    const auto stats = control.Stats(server.address(), timeout);
    if (stats.ok()) all.Add(**stats, job);
  }
  return all;
}

}  // namespace paramo::cli
