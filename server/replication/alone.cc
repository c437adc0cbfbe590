#include "common/base/check.h"
#include "server/replication/replication.h"

namespace paramo {
namespace {

class Alone final : public Replication {
 public:
  explicit Alone(CommitListener& listener) : listener_(listener) {}

  void Append(RecordKind /*kind*/, Epoch /*epoch*/, Lsn lsn) override {
    PARAMO_CHECK(lsn > last_);  // lsn order, whoever appends
    last_ = lsn;
    listener_.OnCommitted(lsn);
  }

  uint32_t replicas() const override { return 1; }

 private:
  CommitListener& listener_;
  Lsn last_ = 0;
};

}  // namespace

std::unique_ptr<Replication> MakeAlone(CommitListener& listener) {
  return std::make_unique<Alone>(listener);
}

}  // namespace paramo
