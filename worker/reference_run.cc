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
std::string EpochJson(const char* metric_name, const ReferenceEpoch& epoch,
                      double seconds) {
  return absl::StrCat("{\"event\": \"epoch\", \"epoch\": ", epoch.epoch,
                      ", \"loss\": ", JsonNumber(epoch.loss), ", \"",
                      metric_name, "\": ", JsonNumber(epoch.metric),
                      ", \"seconds\": ", JsonNumber(seconds), "}\n");
}

std::string ResultJson(const Workload& work, const ReferenceResult& result,
                       double seconds) {
  const JobFile& job = work.job;
  const size_t examples = work.train->examples();
  return absl::StrCat(
      "{\"event\": \"result\", \"job\": ", JsonString(job.job),
      ", \"reference\": true, \"workers\": ", job.workers,
      ", \"epochs\": ", job.epochs, ", \"rounds\": ", result.rounds,
      ", \"seconds\": ", JsonNumber(seconds), ", \"examples_per_second\": ",
      JsonNumber(static_cast<double>(examples * job.epochs) / seconds),
      ", \"loss\": ", JsonNumber(result.loss), ", \"metric_name\": \"",
      work.metric_name, "\", \"metric\": ", JsonNumber(result.metric), "}\n");
}

absl::StatusOr<ReferenceResult> Train(
    const Workload& work,
    const std::function<void(const ReferenceEpoch&)>& on_epoch) {
  return work.sparse != nullptr
             ? TrainSparseReference(work.job, *work.sparse, *work.train,
                                    on_epoch)
             : TrainReference(work.job, *work.model, *work.train, *work.test,
                              on_epoch);
}

absl::Status Save(const std::string& file, const Workload& work,
                  const ReferenceResult& result) {
  const std::vector<absl::Span<const float>> weights(result.weights.begin(),
                                                     result.weights.end());
  return work.sparse != nullptr ? SaveRows(file, *work.sparse, weights)
                                : SaveWeights(file, *work.model, weights);
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
                  work.job.epochs, epoch.loss, work.metric_name, epoch.metric,
                  seconds());
      std::fflush(stdout);
    }
    if (json != nullptr) {
      std::fputs(EpochJson(work.metric_name, epoch, seconds()).c_str(), json);
      std::fflush(json);
    }
  };
  PARAMO_ASSIGN_OR_RETURN(const ReferenceResult result, Train(work, on_epoch));
  if (!options.weights_file.empty()) {
    PARAMO_RETURN_IF_ERROR(Save(options.weights_file, work, result));
  }
  if (json != nullptr) {
    std::fputs(ResultJson(work, result, seconds()).c_str(), json);
    if (std::fflush(json) != 0) return ErrnoStatus(errno, options.json_file);
  }
  return absl::OkStatus();
}

}  // namespace paramo
