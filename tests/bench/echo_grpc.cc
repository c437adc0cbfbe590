// gRPC with nothing of Paramo but its settings: one stream of raw bytes on a
// completion queue at each end, each with one thread. A message's bytes lie in
// memory that is sent again and again, and are not looked at when they come.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/transport/completion.h"
#include "common/transport/live_calls.h"
#include "common/transport/settings.h"
#include "tests/bench/echo.h"

namespace paramo::bench {
namespace {

// Messages of one size, from changing places of the same memory.
class Source {
 public:
  explicit Source(uint64_t bytes)
      : bytes_(bytes), memory_(SourceBytes(bytes), 's') {}
  grpc::ByteBuffer Next() {
    if (at_ + bytes_ > memory_.size()) at_ = 0;
    const grpc::Slice slice(memory_.data() + at_, bytes_,
                            grpc::Slice::STATIC_SLICE);
    at_ += bytes_;
    return grpc::ByteBuffer(&slice, 1);
  }

 private:
  const uint64_t bytes_;
  std::string memory_;
  size_t at_ = 0;
};

absl::Status Broken() { return absl::UnavailableError("the echo broke off"); }

// ---- Client
// ------------------------------------------------------------------

class GrpcEcho final : public Requester {
 public:
  GrpcEcho(std::shared_ptr<grpc::Channel> channel, const EchoSizes& sizes)
      : stub_(std::move(channel)),
        stream_(stub_.PrepareCall(&context_, "/paramo.bench/Echo", &queue_)),
        source_(sizes.request) {
    stream_->StartCall(&start_);
    hello_.resize(sizeof sizes);
    std::memcpy(hello_.data(), &sizes, sizeof sizes);
  }
  ~GrpcEcho() override {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) continue;
  }

  // Sends the sizes, once the stream is there.
  absl::Status Begin() {
    std::vector<size_t> none;
    while (!started_) {
      PARAMO_RETURN_IF_ERROR(Wait(absl::Now() + absl::Seconds(10), none));
    }
    const grpc::Slice slice(hello_);
    MutexLock lock(mu_);
    writing_ = true;
    stream_->Write(grpc::ByteBuffer(&slice, 1), &write_);
    stream_->Read(&incoming_, &read_);
    return absl::OkStatus();
  }

  absl::Status Send(size_t) override {
    MutexLock lock(mu_);
    ++queued_;
    WriteNext();
    return absl::OkStatus();
  }
  absl::Status Wait(absl::Time deadline,
                    std::vector<size_t>& answered) override {
    while (answered.empty()) {
      void* tag;
      bool ok;
      const auto event =
          queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(deadline));
      if (event == grpc::CompletionQueue::TIMEOUT) break;
      if (event == grpc::CompletionQueue::SHUTDOWN || !ok) return Broken();
      if (tag == &start_) {
        started_ = true;
        break;
      }
      if (tag == &write_) {
        MutexLock lock(mu_);
        writing_ = false;
        WriteNext();
      } else {
        answered.push_back(next_++);
        stream_->Read(&incoming_, &read_);
      }
    }
    return absl::OkStatus();
  }

 private:
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || queued_ == 0) return;
    writing_ = true;
    --queued_;
    stream_->Write(source_.Next(), &write_);
  }

  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::string hello_;
  char start_, write_, read_;  // their addresses are the tags

  // Wait's.
  grpc::ByteBuffer incoming_;
  bool started_ = false;
  size_t next_ = 0;

  Mutex mu_;
  Source source_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  size_t queued_ ABSL_GUARDED_BY(mu_) = 0;
};

// ---- Server
// ------------------------------------------------------------------

// One stream. On the queue's thread only.
class EchoCall final : public std::enable_shared_from_this<EchoCall> {
 public:
  EchoCall(LiveCalls& live, grpc::AsyncGenericService& service,
           grpc::ServerCompletionQueue& queue)
      : live_(live), token_(live), service_(service), queue_(queue) {}

  void Accept() {
    service_.RequestCall(&context_, &stream_, &queue_, &queue_,
                         accept_op_.Start(shared_from_this()));
  }

 private:
  void OnAccepted(bool ok) {
    if (!ok) return;  // shutting down
    std::make_shared<EchoCall>(live_, service_, queue_)->Accept();
    stream_.Read(&incoming_, read_op_.Start(shared_from_this()));
  }
  void OnRead(bool ok) {
    if (!ok) {
      stream_.Finish(grpc::Status::OK, finish_op_.Start(shared_from_this()));
      return;
    }
    if (source_ == nullptr) {
      EchoSizes sizes;
      grpc::Slice slice;
      if (!incoming_.DumpToSingleSlice(&slice).ok() ||
          slice.size() != sizeof sizes) {
        return OnRead(false);
      }
      std::memcpy(&sizes, slice.begin(), sizeof sizes);
      source_ = std::make_unique<Source>(sizes.answer);
    } else {
      ++owed_;
      WriteNext();
    }
    stream_.Read(&incoming_, read_op_.Start(shared_from_this()));
  }
  void OnWritten(bool ok) {
    writing_ = false;
    if (ok) WriteNext();  // when not, the read fails too
  }
  void OnFinished(bool) {}
  void WriteNext() {
    if (writing_ || owed_ == 0) return;
    writing_ = true;
    --owed_;
    stream_.Write(source_->Next(), write_op_.Start(shared_from_this()));
  }

  LiveCalls& live_;
  const LiveCalls::Token token_;  // goes last
  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer incoming_;
  std::unique_ptr<Source> source_;  // once the sizes are known
  bool writing_ = false;
  size_t owed_ = 0;

  Operation<EchoCall> accept_op_{&EchoCall::OnAccepted};
  Operation<EchoCall> read_op_{&EchoCall::OnRead};
  Operation<EchoCall> write_op_{&EchoCall::OnWritten};
  Operation<EchoCall> finish_op_{&EchoCall::OnFinished};
};

class GrpcListener final : public EchoListener {
 public:
  absl::Status Start() {
    grpc::ServerBuilder builder;
    ApplyServerSettings(builder, kMessageBytesMax, absl::Seconds(10));
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("gRPC does not start");
    std::make_shared<EchoCall>(live_, service_, *queue_)->Accept();
    thread_ = std::thread([this] {
      void* tag;
      bool ok;
      while (queue_->Next(&tag, &ok))
        static_cast<Completion*>(tag)->Complete(ok);
    });
    return absl::OkStatus();
  }
  ~GrpcListener() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    live_.WaitForNone();  // nothing may be started on a queue that is shut
    if (queue_ != nullptr) queue_->Shutdown();
    if (thread_.joinable()) thread_.join();
  }
  std::string address() const override {
    return absl::StrCat("127.0.0.1:", port_);
  }

 private:
  int port_ = 0;
  LiveCalls live_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Requester>> ConnectGrpcEcho(
    const std::string& address, const EchoSizes& sizes) {
  KeepGrpcInitialised();
  grpc::ChannelArguments arguments;
  ApplyClientSettings(arguments, kMessageBytesMax, absl::Seconds(5));
  auto echo = std::make_unique<GrpcEcho>(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                arguments),
      sizes);
  PARAMO_RETURN_IF_ERROR(echo->Begin());
  return echo;
}

absl::StatusOr<std::unique_ptr<EchoListener>> ListenForGrpcEcho() {
  KeepGrpcInitialised();
  auto listener = std::make_unique<GrpcListener>();
  PARAMO_RETURN_IF_ERROR(listener->Start());
  return listener;
}

}  // namespace paramo::bench
