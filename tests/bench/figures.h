// The arithmetic of `paramo bench`: from runs to rows. Knows of no clock, no
// process and no file.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace paramo::bench {

// What one run of a subject did.
struct Sample {
  double seconds = 0;
  double cpu_seconds = 0;  // of all processes that took part
  double messages = 0;     // requests answered
  double bytes = 0;        // of their payload
  double rows = 0;
  // From the time that a request was due to its answer, in us.
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  bool disturbed = false;  // others used the machine meanwhile
};

enum class Unit {
  kGigabytes,  // 10^9 bytes per second
  kRows,       // per second
  kMessages,   // per second
  kSeconds,    // that the run took
  kP50,
  kP99,
  kP999,
  kCpuPerRow,  // us per 1,000 rows, all processes
};
const char* NameOf(Unit unit);
double ValueOf(const Sample& sample, Unit unit);

// CPU seconds of all processes for the work that `unit` counts: seconds per GB
// where it is bytes, us per 1,000 rows where it is rows, else us per request.
// 0 when the run did none.
double CpuOf(const Sample& sample, Unit unit);
const char* CpuNameOf(Unit unit);

// A bound on the ratio of a case to its floor.
struct Target {
  std::string op;  // ">=" or "<="; empty: none
  double ratio = 0;
};
inline Target AtLeast(double ratio) { return {">=", ratio}; }
inline Target AtMost(double ratio) { return {"<=", ratio}; }

// One row of the result.
struct Row {
  std::string name;   // the case
  std::string floor;  // empty: it has none
  Unit unit = Unit::kMessages;
  double value = 0;  // medians over the rounds
  double cpu = 0;
  double floor_value = 0;
  double floor_cpu = 0;
  double ratio = 0;  // of the two medians
  Target target;
  bool met = false;
  double spread = 0;
  bool noisy = false;
  std::string explained_in;  // a heading of docs/benchmarks.md
};

// Of a row, what is known before the runs.
struct Line {
  std::string name;
  Unit unit = Unit::kMessages;
  size_t subject = 0;
  int floor = -1;  // a subject too; -1: none
  Target target;
  std::string explained_in;
};

// The middle one, or the mean of the two in the middle; 0 of none.
double Median(std::vector<double> values);
// (largest - smallest) / median: what a repetition may give. 0 of none.
double Spread(const std::vector<double>& values);
// The smallest value that a share `q` of all do not exceed; 0 of none.
double Quantile(std::vector<double> values, double q);

// `floor` is empty when the line has none. A row is noisy when at least half of
// the runs of it or of its floor were disturbed: then the median may be.
Row MakeRow(const Line& line, absl::Span<const Sample> runs,
            absl::Span<const Sample> floor, const std::string& floor_name);

}  // namespace paramo::bench
