#include "client/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/cli/output.h"
#include "common/base/log.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

constexpr absl::Duration kRateWindow = absl::Seconds(2);

// Lines of the block; the block must fit a terminal.
constexpr size_t kWorkersShown = 8;

double Rate(uint64_t now, uint64_t before, absl::Duration time) {
  if (time <= absl::ZeroDuration() || now < before) return 0;
  return static_cast<double>(now - before) / absl::ToDoubleSeconds(time);
}

std::string Bar(double fraction, int width) {
  const int full = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * width);
  return absl::StrCat("[", std::string(full, '#'),
                      std::string(width - full, '.'), "]");
}

std::string Metric(const ProgressView& view) {
  if (view.metric_name.empty()) return "not evaluated yet";
  return absl::StrFormat("%s %.4f (epoch %.3g)",
                         Printable(view.metric_name, 32), view.metric,
                         view.metric_epoch);
}

std::string SplitText(const WorkerSplit& worker) {
  if (worker.step_ms == 0) return "no step yet";
  return absl::StrFormat(
      "%5.1f ms: input %.1f pull %.1f compute %.1f push %.1f wait %.1f",
      worker.step_ms, worker.input_ms, worker.pull_ms, worker.compute_ms,
      worker.push_ms, worker.wait_ms);
}

std::string SplitsJson(const ProgressView& view) {
  Records records({"worker", "pid", "step_ms_p50", "input_ms", "pull_ms",
                   "compute_ms", "push_ms", "wait_ms"});
  for (const WorkerSplit& worker : view.workers) {
    records.Add({worker.rank, worker.pid, worker.step_ms, worker.input_ms,
                 worker.pull_ms, worker.compute_ms, worker.push_ms,
                 worker.wait_ms});
  }
  return records.Json();
}

// A value that is JSON already.
Cell JsonCell(const std::string& json) {
  Cell cell("");
  cell.json = json;
  return cell;
}

int Columns(std::FILE* file) {
  winsize size{};
  if (::ioctl(::fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    return 80;
  }
  return size.ws_col;
}

}  // namespace

ProgressView ProgressMeter::Observe(const v1::JobReport& report,
                                    absl::Duration since_start) {
  ProgressView view;
  view.job = report.spec().name();
  view.seconds = absl::ToDoubleSeconds(since_start);
  view.epochs = report.spec().epochs();
  if (report.spec().examples() > 0) {
    // Batches read again after a death count twice, so it is cut at the end.
    view.epoch = std::min<double>(
        view.epochs, static_cast<double>(report.examples()) /
                         static_cast<double>(report.spec().examples()));
  }
  view.metric_name = report.metric_name();
  view.metric = report.metric();
  view.metric_epoch = report.metric_epoch();
  view.deaths = report.deaths();
  int stepping = 0;  // workers that have something to say
  for (const v1::WorkerReport& worker : report.workers()) {
    if (!worker.live()) continue;
    ++view.live_workers;
    const v1::WorkerProgress& progress = worker.progress();
    view.workers.push_back({worker.worker(), worker.pid(),
                            progress.step_ms_p50(), progress.input_ms(),
                            progress.pull_ms(), progress.compute_ms(),
                            progress.push_ms(), progress.wait_ms()});
    if (progress.clock() == 0) continue;
    ++stepping;
    view.loss += progress.loss();
    view.step_ms_p50 += progress.step_ms_p50();
    view.step_ms_p99 = std::max(view.step_ms_p99, progress.step_ms_p99());
  }
  if (stepping > 0) {
    view.loss /= stepping;
    view.step_ms_p50 /= stepping;
  } else {
    view.loss = last_.loss;
    view.step_ms_p50 = last_.step_ms_p50;
    view.step_ms_p99 = last_.step_ms_p99;
  }
  samples_.push_back({since_start, report.examples(), report.push_bytes(),
                      report.pull_bytes()});
  while (samples_.size() > 2 && since_start - samples_[1].at >= kRateWindow) {
    samples_.erase(samples_.begin());
  }
  const Sample& before = samples_.front();
  const absl::Duration time = since_start - before.at;
  view.examples_per_second = Rate(report.examples(), before.examples, time);
  view.push_bytes_per_second =
      Rate(report.push_bytes(), before.push_bytes, time);
  view.pull_bytes_per_second =
      Rate(report.pull_bytes(), before.pull_bytes, time);
  last_ = view;
  return view;
}

std::string ProgressLine(const ProgressView& view) {
  return absl::StrFormat(
      "%6.1f s  epoch %.2f/%d  loss %.4f  %s  %s examples/s  push %s/s  "
      "pull %s/s  step p50 %.1f ms p99 %.1f ms  workers %d%s\n",
      view.seconds, view.epoch, view.epochs, view.loss, Metric(view),
      Thousands(static_cast<uint64_t>(view.examples_per_second)),
      HumanBytes(view.push_bytes_per_second),
      HumanBytes(view.pull_bytes_per_second), view.step_ms_p50,
      view.step_ms_p99, view.live_workers,
      view.staleness.empty()
          ? ""
          : absl::StrCat("  staleness ", view.staleness.Text()));
}

std::string ProgressBlock(const ProgressView& view, int columns) {
  const double done = view.epochs == 0 ? 0 : view.epoch / view.epochs;
  std::vector<std::string> lines = {
      absl::StrFormat("epoch   %.2f of %d  %s  %3.0f %%  %.1f s", view.epoch,
                      view.epochs, Bar(done, 24), done * 100, view.seconds),
      absl::StrFormat("model   loss %.4f   %s", view.loss, Metric(view)),
      absl::StrFormat(
          "rate    %s examples/s   push %s/s   pull %s/s",
          Thousands(static_cast<uint64_t>(view.examples_per_second)),
          HumanBytes(view.push_bytes_per_second),
          HumanBytes(view.pull_bytes_per_second)),
      absl::StrFormat("step    p50 %.1f ms   p99 %.1f ms", view.step_ms_p50,
                      view.step_ms_p99),
  };
  if (!view.staleness.empty()) {
    lines.push_back(
        absl::StrCat("stale   ", view.staleness.Text(), "   (clocks behind)"));
  }
  for (size_t i = 0; i < view.workers.size() && i < kWorkersShown; ++i) {
    const WorkerSplit& worker = view.workers[i];
    lines.push_back(absl::StrFormat("%s %d (pid %d)  %s",
                                    i == 0 ? "workers" : "       ", worker.rank,
                                    worker.pid, SplitText(worker)));
  }
  if (view.workers.size() > kWorkersShown) {
    lines.push_back(absl::StrFormat("        and %d more",
                                    view.workers.size() - kWorkersShown));
  }
  if (view.deaths > 0) {
    lines.push_back(absl::StrCat("dead    ", view.deaths));
  }
  std::string block;
  for (const std::string& line : lines) {
    // A line that wraps would break the arithmetic of erasing it.
    absl::StrAppend(&block, line.substr(0, static_cast<size_t>(columns)), "\n");
  }
  return block;
}

std::string ProgressJson(const ProgressView& view) {
  return JsonObject({{"job", view.job},
                     {"seconds", view.seconds},
                     {"epoch", view.epoch},
                     {"epochs", view.epochs},
                     {"loss", view.loss},
                     {"metric_name", view.metric_name},
                     {"metric", view.metric},
                     {"metric_epoch", view.metric_epoch},
                     {"examples_per_second", view.examples_per_second},
                     {"push_bytes_per_second", view.push_bytes_per_second},
                     {"pull_bytes_per_second", view.pull_bytes_per_second},
                     {"step_ms_p50", view.step_ms_p50},
                     {"step_ms_p99", view.step_ms_p99},
                     {"live_workers", view.live_workers},
                     {"deaths", view.deaths},
                     {"workers", JsonCell(SplitsJson(view))},
                     {"staleness", JsonCell(view.staleness.Json())}});
}

ProgressPrinter::ProgressPrinter(std::FILE* file)
    : file_(file), terminal_(::isatty(::fileno(file)) != 0) {}

// Moves the cursor up to where the block began and clears to the end.
void ProgressPrinter::Erase() {
  const auto lines = std::count(block_.begin(), block_.end(), '\n');
  if (lines > 0) std::fprintf(file_, "\x1b[%dA\x1b[J", static_cast<int>(lines));
  block_.clear();
}

void ProgressPrinter::Show(const ProgressView& view) {
  if (terminal_) {
    Erase();
    block_ = ProgressBlock(view, Columns(file_) - 1);
    std::fputs(block_.c_str(), file_);
  } else if (last_line_at_ < 0 || view.seconds - last_line_at_ >= 1) {
    last_line_at_ = view.seconds;
    std::fputs(ProgressLine(view).c_str(), file_);
  }
  std::fflush(file_);
}

void ProgressPrinter::Note(const std::string& line) {
  const std::string block = block_;
  Erase();
  std::fprintf(file_, "%s\n%s", line.c_str(), block.c_str());
  block_ = block;
  std::fflush(file_);
}

void ProgressPrinter::Finish(const ProgressView& view) {
  last_line_at_ = -1;  // however soon after the last one
  Show(view);
  block_.clear();
}

}  // namespace paramo::cli
