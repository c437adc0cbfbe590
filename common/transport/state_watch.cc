#include "common/transport/state_watch.h"

#include <grpcpp/grpcpp.h>

#include <set>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/transport/byte_buffer.h"
#include "common/wire/seal.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

using State = std::shared_ptr<const v1::ClusterState>;
// Everybody gets the same bytes, which are made once.
using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

grpc::ByteBuffer Sealed(const v1::ClusterState& state) {
  Buffer bytes(state.ByteSizeLong());
  state.SerializeWithCachedSizesToArray(bytes.data());
  Message message;
  message.push_back(std::move(bytes));
  wire::Seal(message);
  return ToByteBuffer(std::move(message));
}

class Watcher;

// The state and who waits for the next one.
struct Board {
  mutable Mutex mu;
  State state ABSL_GUARDED_BY(mu);
  grpc::ByteBuffer bytes ABSL_GUARDED_BY(mu);  // of the state
  bool stopped ABSL_GUARDED_BY(mu) = false;
  std::string withdrawn ABSL_GUARDED_BY(mu);  // why; empty: it is not
  size_t count ABSL_GUARDED_BY(mu) = 0;
  std::set<Watcher*> idle ABSL_GUARDED_BY(mu);  // have no write outstanding
};

// One call. At any time it either waits in Board::idle, or has one write
// outstanding, or has been finished; whoever takes it out of `idle` (under the
// lock) has the right to write or finish. Deletes itself when gRPC is done.
class Watcher final : public Reactor {
 public:
  Watcher(Board& board, const v1::WatchRequest& request)
      : board_(board),
        version_(request.after_version()),
        once_(request.once()) {}

  // Writes the newest state when it is newer than the last one, else waits.
  void Next() {
    grpc::Status end = grpc::Status::OK;
    {
      MutexLock lock(board_.mu);
      if (board_.stopped) {
        end = grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
      } else if (!board_.withdrawn.empty()) {
        end = grpc::Status(grpc::StatusCode::UNAVAILABLE, board_.withdrawn);
      } else if (cancelled_) {
        end = grpc::Status::CANCELLED;
      } else if (board_.state == nullptr ||
                 board_.state->version() <= version_) {
        board_.idle.insert(this);
        return;
      } else {
        sending_ = board_.bytes;
        version_ = board_.state->version();
      }
    }
    // Outside the lock: either may run further callbacks inline.
    if (end.ok()) {
      StartWrite(&sending_);
    } else {
      FinishUnlessFinished(end);
    }
  }

  void FinishUnlessFinished(const grpc::Status& status) {
    if (!finished_) {
      finished_ = true;
      Finish(status);
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok || once_) {
      FinishUnlessFinished(ok ? grpc::Status::OK : grpc::Status::CANCELLED);
    } else {
      Next();
    }
  }

  void OnCancel() override {
    bool idle;
    {
      MutexLock lock(board_.mu);
      cancelled_ = true;
      idle = board_.idle.erase(this) > 0;
    }
    if (idle) FinishUnlessFinished(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    {
      MutexLock lock(board_.mu);
      board_.idle.erase(this);
      --board_.count;
    }
    delete this;
  }

 private:
  Board& board_;
  uint64_t version_;  // newest one sent
  const bool once_;
  grpc::ByteBuffer sending_;
  bool finished_ = false;   // touched by whoever has the right to finish
  bool cancelled_ = false;  // guarded by board_.mu
};

class Refused final : public Reactor {
 public:
  explicit Refused(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class Service final
    : public v1::Cluster::WithRawCallbackMethod_Watch<v1::Cluster::Service> {
 public:
  explicit Service(Board& board) : board_(board) {}

  Reactor* Watch(grpc::CallbackServerContext*,
                 const grpc::ByteBuffer* bytes) override {
    v1::WatchRequest request;
    grpc::ByteBuffer copy = *bytes;  // shares the bytes
    if (!grpc::SerializationTraits<v1::WatchRequest>::Deserialize(&copy,
                                                                  &request)
             .ok()) {
      return new Refused({grpc::StatusCode::INVALID_ARGUMENT,
                          "not a WatchRequest (see control.proto)"});
    }
    {
      MutexLock lock(board_.mu);
      if (request.cluster_id() != 0 && board_.state != nullptr &&
          request.cluster_id() != board_.state->cluster_id()) {
        return new Refused({grpc::StatusCode::FAILED_PRECONDITION,
                            "this is another cluster: check the address"});
      }
      if (board_.count >= kStateWatchersMax) {
        return new Refused({grpc::StatusCode::RESOURCE_EXHAUSTED,
                            "too many watchers here; ask another server"});
      }
      ++board_.count;
    }
    auto* watcher = new Watcher(board_, request);
    watcher->Next();
    return watcher;
  }

 private:
  Board& board_;
};

}  // namespace

struct StateWatch::Impl {
  Board board;
  Service service{board};
};

StateWatch::StateWatch() : impl_(std::make_unique<Impl>()) {}
StateWatch::~StateWatch() = default;

grpc::Service* StateWatch::service() { return &impl_->service; }

void StateWatch::Publish(std::shared_ptr<const v1::ClusterState> state) {
  std::set<Watcher*> idle;
  grpc::ByteBuffer bytes = Sealed(*state);
  {
    MutexLock lock(impl_->board.mu);
    if (impl_->board.state != nullptr &&
        state->version() <= impl_->board.state->version()) {
      return;
    }
    impl_->board.state = std::move(state);
    impl_->board.bytes.Swap(&bytes);
    impl_->board.withdrawn.clear();
    idle.swap(impl_->board.idle);
  }
  for (Watcher* watcher : idle) watcher->Next();
}

std::shared_ptr<const v1::ClusterState> StateWatch::state() const {
  MutexLock lock(impl_->board.mu);
  return impl_->board.state;
}

void StateWatch::Withdraw(const std::string& why) {
  std::set<Watcher*> idle;
  {
    MutexLock lock(impl_->board.mu);
    impl_->board.state = nullptr;
    impl_->board.withdrawn = why;
    idle.swap(impl_->board.idle);
  }
  for (Watcher* watcher : idle) watcher->Next();
}

void StateWatch::Stop() {
  std::set<Watcher*> idle;
  {
    MutexLock lock(impl_->board.mu);
    impl_->board.stopped = true;
    idle.swap(impl_->board.idle);
  }
  for (Watcher* watcher : idle) {
    watcher->FinishUnlessFinished(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down"));
  }
}

}  // namespace paramo
