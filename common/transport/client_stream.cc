#include "common/transport/client_stream.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>

#include "common/base/limits.h"
#include "common/transport/byte_buffer.h"
#include "common/transport/client_loop.h"
#include "common/transport/completion.h"
#include "common/transport/settings.h"
#include "common/wire/seal.h"

namespace paramo {
namespace {

// A gRPC channel is made for each attempt, so that when to try again is
// decided in one place (ChannelCore) and not by gRPC's own backoff too, and so
// that a server's name is resolved again.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           absl::Duration connect_timeout) {
  grpc::ChannelArguments arguments;
  ApplyClientSettings(arguments, kMessageBytesMax, connect_timeout);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   arguments);
}

class GrpcClientStream final
    : public ClientStream,
      public std::enable_shared_from_this<GrpcClientStream> {
 public:
  GrpcClientStream(ClientLoop& loop, std::shared_ptr<ClientStreamEvents> events,
                   std::shared_ptr<grpc::Channel> channel,
                   const std::string& method)
      : live_(loop.live()),
        events_(std::move(events)),
        stub_(std::move(channel)),
        stream_(stub_.PrepareCall(&context_, method, loop.queue())) {}

  void Start() override {
    stream_->StartCall(start_op_.Start(shared_from_this()));
  }
  void Write(Message message) override {
    wire::Seal(message);
    stream_->Write(ToByteBuffer(std::move(message)),
                   write_op_.Start(shared_from_this()));
  }
  void Cancel() override { context_.TryCancel(); }

 private:
  void OnStarted(bool ok) {
    if (!ok) return Finish();
    stream_->Read(&incoming_, read_op_.Start(shared_from_this()));
    events_->OnStarted(this);
  }
  void OnRead(bool ok) {
    if (!ok) return Finish();
    events_->OnReply(this, ToRope(incoming_));
    stream_->Read(&incoming_, read_op_.Start(shared_from_this()));
  }
  void OnWritten(bool ok) {
    // When not, the read fails too, and ends the stream.
    if (ok && events_ != nullptr) events_->OnWritten(this);
  }
  void Finish() {
    stream_->Finish(&status_, finish_op_.Start(shared_from_this()));
  }
  void OnFinished(bool) {
    const std::string message = status_.error_message();
    const absl::Status status(
        static_cast<absl::StatusCode>(status_.error_code()), message);
    std::exchange(events_, nullptr)->OnEnded(this, status);
  }

  const LiveCalls::Token live_;  // first, so that it goes last
  std::shared_ptr<ClientStreamEvents> events_;
  grpc::ClientContext context_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::ByteBuffer incoming_;
  grpc::Status status_;

  Operation<GrpcClientStream> start_op_{&GrpcClientStream::OnStarted};
  Operation<GrpcClientStream> read_op_{&GrpcClientStream::OnRead};
  Operation<GrpcClientStream> write_op_{&GrpcClientStream::OnWritten};
  Operation<GrpcClientStream> finish_op_{&GrpcClientStream::OnFinished};
};

}  // namespace

std::shared_ptr<ClientStream> MakeClientStream(
    ClientLoop& loop, std::shared_ptr<ClientStreamEvents> events,
    const std::string& address, const std::string& method,
    absl::Duration connect_timeout) {
  return std::make_shared<GrpcClientStream>(
      loop, std::move(events), MakeChannel(address, connect_timeout), method);
}

}  // namespace paramo
