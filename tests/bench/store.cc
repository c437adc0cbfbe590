// store: what a server does to its disk, on a thread of this process. Floors:
// the same bytes appended to a file, synced as often; the same files read.
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/local_floors.h"
#include "tests/bench/store_cases.h"

namespace paramo::bench {
namespace {

constexpr size_t kAppendBytes = 1 << 20;  // a block of the log

class Store final : public Bench {
 public:
  void Declare(Config& config) override {
    config.Size("record-bytes", log_.record_bytes, {1, 64 << 20},
                "payload of a log record");
    config.Size("log-bytes", log_.bytes, {1 << 20}, "of the log, each run");
    config.Int("store-rows", rows_, {1, 1 << 24},
               "rows that are written behind at once");
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    PARAMO_ASSIGN_OR_RETURN(log_.directory, lab.Directory());
    if (smoke) log_.bytes = 1 << 20;
    if (smoke) rows_ = 1000;
    AddAppend(plan, Level::kSynced);
    AddAppend(plan, Level::kWritten);  // last: recovery reads what it left
    const size_t recover = plan.Add(LogRecover(log_));
    plan.Compare(recover, plan.Add(ReadFloor(log_)), Unit::kGigabytes);
    PARAMO_ASSIGN_OR_RETURN(Subject behind,
                            WriteBehindCase(log_.directory, rows_));
    const size_t write_behind = plan.Add(std::move(behind));
    plan.Compare(write_behind, AddFloor(plan, rows_ * kStoredRowBytes),
                 Unit::kGigabytes);
    Line line;
    line.unit = Unit::kRows;
    line.subject = write_behind;
    plan.Show(std::move(line));
    return absl::OkStatus();
  }

 private:
  void AddAppend(Plan& plan, Level level) {
    auto batch_bytes = std::make_shared<size_t>(0);
    const size_t append = plan.Add(LogAppend(log_, level, batch_bytes));
    const auto sync_bytes = [=] {
      return level == Level::kSynced ? *batch_bytes : 0;
    };
    Subject floor = AppendFloor(log_.directory, kAppendBytes, sync_bytes);
    if (level == Level::kSynced) floor.name = "append + fdatasync";
    plan.Compare(append, plan.Add(std::move(floor)), Unit::kGigabytes);
  }
  size_t AddFloor(Plan& plan, size_t sync_bytes) {
    Subject floor =
        AppendFloor(log_.directory, kAppendBytes, [=] { return sync_bytes; });
    floor.name = "append + fdatasync";
    return plan.Add(std::move(floor));
  }

  LogSpec log_;
  size_t rows_ = 65536;
};

}  // namespace

std::unique_ptr<Bench> MakeStore() { return std::make_unique<Store>(); }

}  // namespace paramo::bench
