// What a run says: one JSON object per line as things happen, and one of the
// whole at the end. The names are an interface: scripts read them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/chaos/oracle.h"

namespace paramo::chaos {

// One fault, landed or not.
struct FaultRecord {
  std::string kind;
  std::string target;
  uint64_t in_flight = 0;  // requests on the target when it came
  absl::Duration length;
  absl::Duration outage;     // longest time without an acknowledgement there
  absl::Duration recovered;  // from healing to the first progress of everybody
  // Pushes that failed or waited for it, though what it happened to is nothing
  // that a push needs.
  uint64_t hurt = 0;
  std::string not_landed;  // why it does not count; empty: it landed
};

// The last line.
struct Summary {
  uint64_t seed = 0;
  uint64_t faults_requested = 0;
  std::map<std::string, uint64_t> faults_landed;
  std::map<std::string, std::string> skipped;
  Verdict verdict;
  uint64_t divergent_replicas = 0;
  std::map<std::string, std::vector<absl::Duration>> outages;
  absl::Duration duration;
  std::string error;  // why the run is no proof, whatever it counted

  void Add(const FaultRecord& fault);
  bool pass() const;
};

std::string ToJson(const FaultRecord& fault);
std::string ToJson(uint32_t client, const Verdict& verdict);
std::string ErrorToJson(const std::string& error);
std::string ToJson(const Summary& summary);

// Where lines go: people read stdout, programs the file. Threads: one.
class Report {
 public:
  // `path` empty: no file; "-": JSON on stdout instead of text.
  static absl::StatusOr<Report> Open(const std::string& path);
  Report(Report&& other) noexcept;
  ~Report();

  void Json(const std::string& line);
  void Text(const std::string& line);

 private:
  Report(std::FILE* file, bool text) : file_(file), text_(text) {}

  std::FILE* file_;  // null: none
  bool text_;
};

// The nearest-rank quantile; 0 of nothing. Sorts.
absl::Duration Quantile(std::vector<absl::Duration> values, double q);

}  // namespace paramo::chaos
