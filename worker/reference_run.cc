// paramo-worker --reference: the command around worker/step/reference.h.
#include <cstdio>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/clock/clock.h"
#include "common/config/json.h"
#include "worker/step/reference.h"
#include "worker/step/weights_file.h"
#include "worker/step/workload.h"
#include "worker/worker.h"

namespace paramo {
namespace {

// Figures go to `file` as JSON Lines; the last line is the result.
std::string EpochJson(const ReferenceEpoch& epoch, double seconds) {
  return absl::StrCat("{\"event\": \"epoch\", \"epoch\": ", epoch.epoch,
                      ", \"loss\": ", JsonNumber(epoch.loss), ", \"",
                      kMetricName, "\": ", JsonNumber(epoch.metric),
                      ", \"seconds\": ", JsonNumber(seconds), "}\n");
}

std::string ResultJson(const JobFile& job, const ReferenceResult& result,
                       size_t examples, double seconds) {
  return absl::StrCat(
      "{\"event\": \"result\", \"job\": ", JsonString(job.job),
      ", \"reference\": true, \"workers\": ", job.workers,
      ", \"epochs\": ", job.epochs, ", \"rounds\": ", result.rounds,
      ", \"seconds\": ", JsonNumber(seconds), ", \"examples_per_second\": ",
      JsonNumber(static_cast<double>(examples * job.epochs) / seconds),
      ", \"loss\": ", JsonNumber(result.loss), ", \"metric_name\": \"",
      kMetricName, "\", \"metric\": ", JsonNumber(result.metric), "}\n");
}

}  // namespace

absl::Status RunReference(const WorkerOptions& options) {
  std::FILE* json = nullptr;
  const bool json_to_stdout = options.json_file == "-";
  if (json_to_stdout) {
    json = stdout;
  } else if (!options.json_file.empty()) {
    json = std::fopen(options.json_file.c_str(), "w");
    if (json == nullptr) return ErrnoStatus(errno, options.json_file);
  }
  absl::Cleanup close = [&] {
    if (json != nullptr && !json_to_stdout) std::fclose(json);
  };

  PARAMO_ASSIGN_OR_RETURN(Workload work, OpenWorkload(options.job_file));
  SteadyClock clock;
  const absl::Duration start = clock.Now();
  auto seconds = [&] { return absl::ToDoubleSeconds(clock.Now() - start); };
  auto on_epoch = [&](const ReferenceEpoch& epoch) {
    if (!json_to_stdout) {
      std::printf("epoch %zu/%zu  loss %.4f  %s %.4f  %.1f s\n", epoch.epoch,
                  work.job.epochs, epoch.loss, kMetricName, epoch.metric,
                  seconds());
      std::fflush(stdout);
    }
    if (json != nullptr) {
      std::fputs(EpochJson(epoch, seconds()).c_str(), json);
      std::fflush(json);
    }
  };
  PARAMO_ASSIGN_OR_RETURN(
      const ReferenceResult result,
      TrainReference(work.job, *work.model, *work.train, *work.test, on_epoch));
  if (!options.weights_file.empty()) {
    const std::vector<absl::Span<const float>> weights(result.weights.begin(),
                                                       result.weights.end());
    PARAMO_RETURN_IF_ERROR(
        SaveWeights(options.weights_file, *work.model, weights));
  }
  if (json != nullptr) {
    std::fputs(
        ResultJson(work.job, result, work.train->examples(), seconds()).c_str(),
        json);
    if (std::fflush(json) != 0) return ErrnoStatus(errno, options.json_file);
  }
  return absl::OkStatus();
}

}  // namespace paramo
