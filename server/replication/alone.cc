#include <deque>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/replication/replication.h"

namespace paramo {
namespace {

class Alone final : public Replication {
 public:
  Alone(const AloneOptions& options, CommitListener& listener)
      : options_(options), listener_(listener) {}

  Lsn Append(RecordKind kind, Rope payload, Durability level) override {
    RecordHeader header;
    header.kind = static_cast<uint16_t>(kind);
    header.shard = options_.shard;
    header.epoch = epoch_;
    header.lsn = end_.lsn + 1;
    header.history = history_;
    header.previous_crc = end_.crc;
    SealRecord(header, payload.pieces());
    pending_.push_back({header, std::move(payload)});
    const Record& record = pending_.back();
    const Lsn lsn = record.header.lsn;
    end_ = {lsn, record.header.crc32c};
    if (options_.log != nullptr) options_.log->Write(record, level);
    // It counts as stored only with those before it, which may want more.
    const bool next = logged_ + 1 == lsn;
    if (options_.log == nullptr || (level == Durability::kMemory && next)) {
      logged_ = lsn;
      ApplyLogged();
    }
    return lsn;
  }

  void Configure(Epoch epoch, HistoryId history) override {
    epoch_ = epoch;
    history_ = history;
  }

  void Restore(LogPosition end) override {
    end_ = end;
    logged_ = end.lsn;
  }

  void OnLogged(Lsn lsn) override {
    if (lsn <= logged_) return;
    PARAMO_CHECK(lsn <= end_.lsn);
    logged_ = lsn;
    ApplyLogged();
  }

  uint32_t replicas() const override { return 1; }

 private:
  // Applying a record may append another (a push completes a round): that one
  // waits its turn here, so the depth never grows.
  void ApplyLogged() {
    if (applying_ || stopped_) return;
    applying_ = true;
    while (!pending_.empty() && pending_.front().header.lsn <= logged_) {
      Record record = std::move(pending_.front());
      pending_.pop_front();
      absl::Status applied = listener_.Apply(record);
      if (applied.ok()) continue;
      LogError("shard %d stops: %s", options_.shard, ToString(applied));
      stopped_ = true;
      break;
    }
    applying_ = false;
  }

  const AloneOptions options_;
  CommitListener& listener_;
  Epoch epoch_ = 0;
  HistoryId history_ = 0;
  LogPosition end_;
  Lsn logged_ = 0;
  std::deque<Record> pending_;  // not applied yet
  bool applying_ = false;
  bool stopped_ = false;
};

}  // namespace

std::unique_ptr<Replication> MakeAlone(const AloneOptions& options,
                                       CommitListener& listener) {
  return std::make_unique<Alone>(options, listener);
}

}  // namespace paramo
