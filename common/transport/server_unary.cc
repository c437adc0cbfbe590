// One unary call (Push, Pull or PushPull), as the server sees it. Simple
// clients use these; the fast path is server_stream.cc.
#include <memory>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/transport/byte_buffer.h"
#include "common/transport/completion.h"
#include "common/transport/server_internal.h"

namespace paramo {
namespace {

class ServerUnary final : public ReplySink,
                          public std::enable_shared_from_this<ServerUnary> {
 public:
  ServerUnary(ServerLoop& loop, DataMethod method)
      : loop_(loop),
        method_(method),
        parts_(std::make_unique<Parts>(loop.live)) {}

  void Accept();

  void Reply(Message reply) override {
    Finish(ToByteBuffer(std::move(reply)), grpc::Status::OK);
  }
  void Fail(const absl::Status& status) override {
    PARAMO_CHECK(!status.ok());
    Finish(grpc::ByteBuffer(), ToGrpc(status));
  }
  bool cancelled() const override {
    return cancelled_.load(std::memory_order_acquire);
  }
  std::string peer() const override { return peer_; }

 private:
  // The gRPC side, gone when nothing of it is outstanding any more.
  struct Parts {
    explicit Parts(LiveCalls& live) : token(live) {}
    LiveCalls::Token token;  // first, so that it goes last
    grpc::ServerContext context;
    grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder{&context};
    grpc::ByteBuffer incoming;
  };

  void OnAccepted(bool ok);
  void OnFinished(bool ok);
  void OnOver(bool ok);

  void Finish(const grpc::ByteBuffer& reply, const grpc::Status& status);
  void ReleaseIfOver();

  // Fixed at construction, or before anybody else has `this`.
  ServerLoop& loop_;
  const DataMethod method_;
  std::string peer_;

  std::atomic<bool> cancelled_{false};  // release when set, acquire when read

  Operation<ServerUnary> accept_op_{&ServerUnary::OnAccepted};
  Operation<ServerUnary> finish_op_{&ServerUnary::OnFinished};
  Operation<ServerUnary> over_op_{&ServerUnary::OnOver};

  Mutex mu_;
  std::unique_ptr<Parts> parts_;  // as in ServerStream
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
};

void ServerUnary::Accept() {
  Parts& parts = *parts_;
  parts.context.AsyncNotifyWhenDone(over_op_.Start(shared_from_this()));
  auto request = [&](auto method) {
    (loop_.service.*method)(&parts.context, &parts.incoming, &parts.responder,
                            loop_.queue.get(), loop_.queue.get(),
                            accept_op_.Start(shared_from_this()));
  };
  switch (method_) {
    case DataMethod::kPush:
      return request(&RawDataService::RequestPush);
    case DataMethod::kPull:
      return request(&RawDataService::RequestPull);
    case DataMethod::kPushPull:
      return request(&RawDataService::RequestPushPull);
    case DataMethod::kStream:
    case DataMethod::kReplicate:
      break;
  }
  PARAMO_CHECK(false);  // streams are server_stream.cc's
}

absl::Duration TimeLeft(const grpc::ServerContext& context) {
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
    return absl::InfiniteDuration();
  const gpr_timespec left =
      gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  return absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

void ServerUnary::OnAccepted(bool ok) {
  if (!ok) {  // the server is shutting down, and no call came
    over_op_.Abandon();
    MutexLock lock(mu_);
    parts_.reset();
    return;
  }
  AcceptUnary(loop_, method_);
  peer_ = parts_->context.peer();
  loop_.options.handler(std::make_unique<IncomingCall>(
      shared_from_this(), ToRope(parts_->incoming), method_, /*first=*/false,
      TimeLeft(parts_->context)));
}

void ServerUnary::Finish(const grpc::ByteBuffer& reply,
                         const grpc::Status& status) {
  Parts* parts;
  {
    MutexLock lock(mu_);
    if (parts_ == nullptr || over_) return;
    finishing_ = true;  // keeps *parts_ until OnFinished
    parts = parts_.get();
  }
  void* tag = finish_op_.Start(shared_from_this());
  if (status.ok()) {
    parts->responder.Finish(reply, status, tag);
  } else {
    parts->responder.FinishWithError(status, tag);
  }
}

void ServerUnary::OnFinished(bool) {
  {
    MutexLock lock(mu_);
    finishing_ = false;
  }
  ReleaseIfOver();
}

void ServerUnary::OnOver(bool) {
  cancelled_.store(true, std::memory_order_release);
  {
    MutexLock lock(mu_);
    over_ = true;
  }
  ReleaseIfOver();
}

void ServerUnary::ReleaseIfOver() {
  std::unique_ptr<Parts> released;
  MutexLock lock(mu_);
  if (over_ && !finishing_) released = std::move(parts_);
}

}  // namespace

void AcceptUnary(ServerLoop& loop, DataMethod method) {
  std::make_shared<ServerUnary>(loop, method)->Accept();
}

}  // namespace paramo
