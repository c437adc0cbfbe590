// The contributions of open rounds, and how a round becomes one update.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "common/base/ids.h"
#include "server/shard/section_task.h"

namespace paramo {

// One pushed section of a step, kept as it arrived, rows encoded.
struct Contribution {
  TableId table = 0;
  uint32_t examples = 0;
  absl::Span<const Key> keys;
  absl::Span<const float* const> rows;  // as Codec::Floats takes them
  const Codec* codec = &F32();          // of rows
  std::shared_ptr<RequestData> data;    // owns keys, rows and their bytes
  std::shared_ptr<uint8_t[]> seams;
};

// What one worker gave to one round.
struct WorkerStep {
  std::vector<Contribution> parts;  // in sequence order
  uint32_t examples = 0;            // of the step; set by its end
  bool ended = false;
};

// The mean gradient of a round for some rows of one table.
// Shapes: keys [n], ascending, unique; rows [n][dim] f32.
struct MeanGradient {
  TableId table = 0;
  absl::Span<const Key> keys;
  absl::Span<const float* const> rows;
};

// One job's open rounds on one shard. Used on the shard's strand.
class RoundBuffer {
 public:
  using Steps = std::map<WorkerId, WorkerStep>;

  void Add(WorkerClock clock, WorkerId worker, Contribution part);
  void End(WorkerClock clock, WorkerId worker, uint32_t examples);

  // The worker is gone: its complete steps before round `first_without` stay,
  // everything else of it is discarded. Returns how many contributions that
  // were.
  size_t DropWorker(WorkerId worker, WorkerClock first_without);

  // Hands the round's mean gradient to `apply`, a few hundred rows of a table
  // at a time, and forgets the round.
  //
  // mean = sum over workers, in order of worker id and then of sequence, of
  // (examples of the step / examples of the round) x gradient, each term added
  // with one fused multiply-add: the same bits whatever the arrival order.
  void Close(WorkerClock round, absl::FunctionRef<uint32_t(TableId)> dim_of,
             absl::FunctionRef<void(const MeanGradient&)> apply);

  const std::map<WorkerClock, Steps>& rounds() const { return rounds_; }
  // The first round that something is kept for; the highest number if none.
  WorkerClock first() const {
    return rounds_.empty() ? std::numeric_limits<WorkerClock>::max()
                           : rounds_.begin()->first;
  }

 private:
  std::map<WorkerClock, Steps> rounds_;
};

}  // namespace paramo
