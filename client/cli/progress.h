// How a running job is shown: an updating block on a terminal, one plain line
// a second otherwise, one JSON object for programs.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/staleness.h"

namespace paramo::v1 {
class JobReport;
}

namespace paramo::cli {

// A live worker, and where the time of its steps goes (WorkerProgress).
struct WorkerSplit {
  uint32_t rank = 0;
  int64_t pid = 0;
  double step_ms = 0;  // p50
  double input_ms = 0;
  double pull_ms = 0;
  double compute_ms = 0;
  double push_ms = 0;
  double wait_ms = 0;
};

// What can be said about a job at one moment, with rates since an earlier one.
struct ProgressView {
  std::string job;
  double seconds = 0;  // since the workers were started
  double epoch = 0;    // passes over the data done
  uint32_t epochs = 0;
  double loss = 0;          // mean over the live workers
  std::string metric_name;  // empty until the first evaluation
  double metric = 0;
  double metric_epoch = 0;
  double examples_per_second = 0;
  double push_bytes_per_second = 0;
  double pull_bytes_per_second = 0;
  double step_ms_p50 = 0;  // mean over the live workers
  double step_ms_p99 = 0;  // worst of them
  uint32_t live_workers = 0;
  std::vector<WorkerSplit> workers;  // live ones
  Staleness staleness;
  uint32_t deaths = 0;
};

// Turns reports into views. Rates are taken over the last two seconds or so,
// which smooths what heartbeats chop up. Once no worker is left, loss and step
// times stay as they were. Threads: one.
class ProgressMeter {
 public:
  ProgressView Observe(const v1::JobReport& report, absl::Duration since_start);

 private:
  struct Sample {
    absl::Duration at;
    uint64_t examples = 0;
    uint64_t push_bytes = 0;
    uint64_t pull_bytes = 0;
  };
  std::vector<Sample> samples_;  // oldest first
  ProgressView last_;
};

std::string ProgressLine(const ProgressView& view);
// Lines of at most `columns` characters, each ended by a newline.
std::string ProgressBlock(const ProgressView& view, int columns);
std::string ProgressJson(const ProgressView& view);

// Prints views to a stream in the form that suits it. Threads: one.
class ProgressPrinter {
 public:
  // `file` must be stdout or stderr.
  explicit ProgressPrinter(std::FILE* file);

  void Show(const ProgressView& view);
  // A line that stays, above the block.
  void Note(const std::string& line);
  // Shows the last view, which stays.
  void Finish(const ProgressView& view);
  bool terminal() const { return terminal_; }

 private:
  void Erase();

  std::FILE* const file_;
  const bool terminal_;
  std::string block_;  // what is on the screen
  double last_line_at_ = -1;
};

}  // namespace paramo::cli
