// One stream of a client, as the server sees it.
//
// All decisions are made in Advance, under the lock, from the state; the gRPC
// calls they lead to are made after it is released. So at most one read, one
// write and one finish are outstanding at any time:
//
//   accepted -> reading <-> handling      until half-closed, ended or cancelled
//            -> writing, one of the queue at a time
//            -> finishing                 no write outstanding, nothing owed
//            -> over (the "done" tag)     nothing outstanding: release
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/byte_buffer.h"
#include "common/transport/completion.h"
#include "common/transport/server_internal.h"
#include "common/transport/shm_receiver.h"
#include "common/wire/seal.h"

namespace paramo {

class ServerStream final : public ReplySink,
                           public std::enable_shared_from_this<ServerStream> {
 public:
  ServerStream(ServerLoop& loop, DataMethod method)
      : loop_(loop),
        method_(method),
        // Servers among themselves have none.
        shm_(method == DataMethod::kStream ? loop.options.shm : nullptr),
        parts_(std::make_unique<Parts>(loop.live)) {}

  void Accept() {
    Parts& parts = *parts_;
    parts.context.AsyncNotifyWhenDone(over_op_.Start(shared_from_this()));
    grpc::ServerCompletionQueue* queue = loop_.queue.get();
    void* accepted = accept_op_.Start(shared_from_this());
    if (method_ == DataMethod::kReplicate) {
      loop_.service.RequestReplicate(&parts.context, &parts.stream, queue,
                                     queue, accepted);
    } else {
      loop_.service.RequestStream(&parts.context, &parts.stream, queue, queue,
                                  accepted);
    }
  }

  void Reply(Message reply) override;
  void Fail(const absl::Status& status) override;
  bool cancelled() const override {
    return cancelled_.load(std::memory_order_acquire);
  }
  std::string peer() const override { return peer_; }

  void EndIfStalled(absl::Time now);

 private:
  // The gRPC side. Exists until nothing of it is outstanding; everything after
  // that finds it gone.
  struct Parts {
    explicit Parts(LiveCalls& live) : token(live) {}
    LiveCalls::Token token;  // first, so that it goes last
    grpc::ServerContext context;
    grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream{
        &context};
    grpc::ByteBuffer incoming;
  };

  // What Advance decided to do.
  struct Steps {
    bool read = false;
    bool write = false;
    Message message;  // of the write
    bool finish = false;
    grpc::Status status;  // of the finish
    std::unique_ptr<Parts> release;
  };

  void OnAccepted(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  void OnOver(bool ok);
  void Handle(Rope request);

  // Completions run on the loop's thread; answers come from anywhere.
  enum class Caller { kCompletion, kAnswer };
  void Advance(Caller caller);
  Steps Decide(Caller caller) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropReplies() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Fixed at construction. The loop is gone once parts_ is, at shutdown.
  ServerLoop& loop_;
  const DataMethod method_;
  std::string peer_;  // set when accepted, before anybody else has `this`

  // Release when set, acquire when read: whoever sees it sees the call ended.
  std::atomic<bool> cancelled_{false};

  // Used by the loop's thread only.
  bool first_ = true;
  bool sealed_ = false;  // a seal has come
  ShmReceiver shm_;

  Operation<ServerStream> accept_op_{&ServerStream::OnAccepted};
  Operation<ServerStream> read_op_{&ServerStream::OnRead};
  Operation<ServerStream> write_op_{&ServerStream::OnWritten};
  Operation<ServerStream> finish_op_{&ServerStream::OnFinished};
  Operation<ServerStream> over_op_{&ServerStream::OnOver};

  Mutex mu_;
  // Written under the lock; its objects are used without it by the operation
  // that `reading_`, `writing_` or `finishing_` stands for.
  std::unique_ptr<Parts> parts_;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;  // or in the handler
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;  // a write failed
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // not OK: end with this
  size_t unanswered_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Message> replies_ ABSL_GUARDED_BY(mu_);
  size_t unsent_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // queue and current write
  size_t writing_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time write_started_ ABSL_GUARDED_BY(mu_);
};

void AcceptStream(ServerLoop& loop, DataMethod method) {
  std::make_shared<ServerStream>(loop, method)->Accept();
}

void SweepStreams(ServerLoop& loop) {
  const absl::Time now = absl::Now();
  for (const auto& entry : loop.streams)
    if (auto stream = entry.second.lock()) stream->EndIfStalled(now);
}

void ServerStream::OnAccepted(bool ok) {
  if (!ok) {  // the server is shutting down, and no call came
    over_op_.Abandon();
    MutexLock lock(mu_);
    parts_.reset();
    return;
  }
  AcceptStream(loop_, method_);
  peer_ = parts_->context.peer();
  loop_.streams[this] = weak_from_this();
  loop_.stream_count.fetch_add(1, std::memory_order_relaxed);
  loop_.counters.open.Add(1);
  Advance(Caller::kCompletion);
}

void ServerStream::OnRead(bool ok) {
  if (ok) Handle(ToRope(parts_->incoming));
  {
    MutexLock lock(mu_);
    reading_ = false;
    if (!ok) half_closed_ = true;
  }
  Advance(Caller::kCompletion);
}

// A damaged request cannot be answered: its id may be what was damaged. Who
// has sealed once seals always.
void ServerStream::Handle(Rope request) {
  std::shared_ptr<ReplySink> sink = shared_from_this();
  const wire::SealState seal = wire::TakeSeal(request);
  if (seal == wire::SealState::kIntact) sealed_ = true;
  const bool damaged = seal == wire::SealState::kBroken ||
                       (sealed_ && seal == wire::SealState::kNone);
  absl::Status status =
      damaged ? absl::DataLossError("a request was damaged on the way")
              : shm_.Fetch(request, sink);
  {
    MutexLock lock(mu_);
    if (!status.ok()) {
      (absl::IsDataLoss(status) ? loop_.counters.damaged
                                : loop_.counters.refused)
          .Add();
      failure_ = std::move(status);
      return;
    }
    ++unanswered_;
  }
  loop_.options.handler(std::make_unique<IncomingCall>(
      std::move(sink), std::move(request), method_,
      std::exchange(first_, false), absl::InfiniteDuration()));
}

void ServerStream::Reply(Message reply) {
  {
    MutexLock lock(mu_);
    if (parts_ == nullptr) return;
    --unanswered_;
    if (!over_ && !broken_ && failure_.ok()) {
      unsent_bytes_ += MessageBytes(reply);
      replies_.push_back(std::move(reply));
      if (unsent_bytes_ > loop_.options.unsent_bytes_max) {
        loop_.counters.unsent_bytes.Add();
        failure_ = absl::ResourceExhaustedError(absl::StrCat(
            "more than ", loop_.options.unsent_bytes_max,
            " bytes of replies wait for this client to read them; read faster "
            "or ask for less at a time"));
      }
    }
  }
  Advance(Caller::kAnswer);
}

void ServerStream::Fail(const absl::Status& status) {
  PARAMO_CHECK(!status.ok());
  {
    MutexLock lock(mu_);
    if (parts_ == nullptr) return;
    --unanswered_;
    if (failure_.ok() && !over_) {
      loop_.counters.refused.Add();
      failure_ = status;
    }
  }
  Advance(Caller::kAnswer);
}

void ServerStream::OnWritten(bool ok) {
  {
    MutexLock lock(mu_);
    writing_ = false;
    unsent_bytes_ -= std::exchange(writing_bytes_, 0);
    if (!ok) broken_ = true;
  }
  Advance(Caller::kCompletion);
}

void ServerStream::OnFinished(bool) {
  {
    MutexLock lock(mu_);
    finishing_ = false;
    finished_ = true;
  }
  Advance(Caller::kCompletion);
}

// The call has ended, one way or the other. Comes exactly once for an accepted
// call, and not before gRPC is through with it.
void ServerStream::OnOver(bool) {
  cancelled_.store(true, std::memory_order_release);
  {
    MutexLock lock(mu_);
    over_ = true;
  }
  Advance(Caller::kCompletion);
}

void ServerStream::EndIfStalled(absl::Time now) {
  MutexLock lock(mu_);
  if (parts_ == nullptr || !writing_ || over_) return;
  if (now - write_started_ < loop_.options.write_timeout) return;
  if (!broken_) {
    loop_.counters.write_timeout.Add();
    LogWarning("%s has not read a reply for %s; closing its stream", peer_,
               absl::FormatDuration(loop_.options.write_timeout));
  }
  broken_ = true;
  parts_->context.TryCancel();
}

void ServerStream::DropReplies() {
  replies_.clear();
  unsent_bytes_ = writing_bytes_;
}

bool ServerStream::MayRead() const {
  const size_t in_flight = unanswered_ + replies_.size() + (writing_ ? 1 : 0);
  return !reading_ && !half_closed_ && !broken_ && !finishing_ && !finished_ &&
         failure_.ok() && in_flight < loop_.options.in_flight_max &&
         unsent_bytes_ < loop_.options.unsent_bytes_soft;
}

ServerStream::Steps ServerStream::Decide(Caller caller) {
  Steps steps;
  if (over_ || broken_ || !failure_.ok()) DropReplies();
  if (over_) {
    // An answer may see this state just before the completion that made it
    // gets here; the release, which touches the loop, is the latter's.
    if (caller == Caller::kCompletion && !reading_ && !writing_ && !finishing_)
      steps.release = std::move(parts_);
    return steps;
  }
  if (!writing_ && !replies_.empty()) {
    steps.write = writing_ = true;
    steps.message = std::move(replies_.front());
    replies_.pop_front();
    writing_bytes_ = MessageBytes(steps.message);
    write_started_ = absl::Now();
  }
  if (MayRead()) steps.read = reading_ = true;

  const bool nothing_owed = half_closed_ && unanswered_ == 0;
  if (!writing_ && !finishing_ && !finished_ &&
      (!failure_.ok() || nothing_owed)) {
    steps.finish = finishing_ = true;
    steps.status = ToGrpc(failure_);
  }
  return steps;
}

void ServerStream::Advance(Caller caller) {
  Steps steps;
  Parts* parts;
  {
    MutexLock lock(mu_);
    if (parts_ == nullptr) return;
    parts = parts_.get();
    steps = Decide(caller);
  }
  // From here on only the operations just claimed keep *parts alive.
  if (steps.release != nullptr) {
    shm_.End();
    loop_.streams.erase(this);
    loop_.stream_count.fetch_sub(1, std::memory_order_relaxed);
    loop_.counters.open.Add(-1);
    return;
  }
  if (steps.write) {
    wire::Seal(steps.message);
    parts->stream.Write(ToByteBuffer(std::move(steps.message)),
                        write_op_.Start(shared_from_this()));
  }
  if (steps.read)
    parts->stream.Read(&parts->incoming, read_op_.Start(shared_from_this()));
  if (steps.finish)
    parts->stream.Finish(steps.status, finish_op_.Start(shared_from_this()));
}

}  // namespace paramo
