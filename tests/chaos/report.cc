#include "tests/chaos/report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"

namespace paramo::chaos {
namespace {

using Object = nlohmann::ordered_json;

// Milliseconds with three decimals.
double Milliseconds(absl::Duration duration) {
  return std::round(absl::ToDoubleMicroseconds(duration)) / 1000;
}

void AddCounts(const Verdict& verdict, Object& object) {
  object["attempted"] = verdict.attempted;
  object["acked"] = verdict.acked;
  object["failed"] = verdict.failed;
  object["unknown"] = verdict.unknown;
  object["found"] = verdict.found;
  object["lost"] = verdict.lost;
  object["duplicated"] = verdict.duplicated;
  object["recovered"] = verdict.recovered;
  object["unexpected"] = verdict.unexpected;
}

std::string Line(const Object& object) {
  return object.dump(-1, ' ', false, Object::error_handler_t::replace);
}

}  // namespace

absl::Duration Quantile(std::vector<absl::Duration> values, double q) {
  if (values.empty()) return absl::ZeroDuration();
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(q * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

void Summary::Add(const FaultRecord& fault) {
  if (!fault.not_landed.empty()) return;
  ++faults_landed[fault.kind];
  outages[fault.kind].push_back(fault.outage);
}

bool Summary::pass() const {
  uint64_t landed = 0;
  for (const auto& [kind, count] : faults_landed) landed += count;
  return error.empty() && verdict.clean() && divergent_replicas == 0 &&
         landed >= faults_requested && verdict.acked > 0;
}

std::string ToJson(const FaultRecord& fault) {
  Object object;
  object["event"] = "fault";
  object["kind"] = fault.kind;
  object["target"] = fault.target;
  object["landed"] = fault.not_landed.empty();
  if (!fault.not_landed.empty()) object["reason"] = fault.not_landed;
  object["in_flight"] = fault.in_flight;
  object["length_ms"] = Milliseconds(fault.length);
  object["outage_ms"] = Milliseconds(fault.outage);
  object["hurt"] = fault.hurt;
  object["recovered_ms"] = Milliseconds(fault.recovered);
  return Line(object);
}

std::string ToJson(uint32_t client, const Verdict& verdict) {
  Object object;
  object["event"] = "client";
  object["client"] = client;
  AddCounts(verdict, object);
  return Line(object);
}

std::string ErrorToJson(const std::string& error) {
  Object object;
  object["event"] = "error";
  object["error"] = error;
  return Line(object);
}

std::string ToJson(const Summary& summary) {
  Object object;
  object["seed"] = summary.seed;
  object["faults_requested"] = summary.faults_requested;
  object["faults_landed"] = Object::object();
  for (const auto& [kind, n] : summary.faults_landed) {
    object["faults_landed"][kind] = n;
  }
  object["skipped"] = Object::object();
  for (const auto& [kind, why] : summary.skipped) {
    object["skipped"][kind] = why;
  }
  AddCounts(summary.verdict, object);
  object["divergent_replicas"] = summary.divergent_replicas;
  object["outage_ms"] = Object::object();
  for (const auto& [kind, outages] : summary.outages) {
    Object& entry = object["outage_ms"][kind];
    entry["n"] = outages.size();
    entry["p50"] = Milliseconds(Quantile(outages, 0.5));
    entry["p99"] = Milliseconds(Quantile(outages, 0.99));
    entry["max"] = Milliseconds(Quantile(outages, 1));
  }
  object["seconds"] =
      std::round(absl::ToDoubleMilliseconds(summary.duration)) / 1000;
  object["pass"] = summary.pass();
  return Line(object);
}

absl::StatusOr<Report> Report::Open(const std::string& path) {
  if (path.empty()) return Report(nullptr, true);
  if (path == "-") return Report(stdout, false);
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file != nullptr) return Report(file, true);
  return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
}

Report::Report(Report&& other) noexcept
    : file_(std::exchange(other.file_, nullptr)), text_(other.text_) {}

Report::~Report() {
  if (file_ != nullptr && file_ != stdout) std::fclose(file_);
}

void Report::Json(const std::string& line) {
  if (file_ == nullptr) return;
  std::fprintf(file_, "%s\n", line.c_str());
  std::fflush(file_);
}

void Report::Text(const std::string& line) {
  if (!text_) return;
  std::fprintf(stdout, "%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace paramo::chaos
