#include "common/transport/state_reader.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>

#include "common/transport/byte_buffer.h"
#include "common/wire/seal.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

using grpc::internal::RpcMethod;

}  // namespace

// As the generated stub does it, but for the bytes: those are looked at before
// a state is made of them. (A client that took a damaged version for a newer
// one would not believe a later state any more.)
struct StateReader::Impl {
  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext& context;
  const v1::WatchRequest request;
  const RpcMethod method{"/paramo.v1.Cluster/Watch",
                         RpcMethod::SERVER_STREAMING};
  std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> reader = nullptr;
  bool damaged = false;
};

StateReader::StateReader(std::shared_ptr<grpc::Channel> channel,
                         grpc::ClientContext& context,
                         const v1::WatchRequest& request)
    : impl_(new Impl{std::move(channel), context, request}) {}

StateReader::~StateReader() = default;

bool StateReader::Read(v1::ClusterState& state) {
  if (impl_->reader == nullptr) {
    impl_->reader.reset(
        grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(
            impl_->channel.get(), impl_->method, &impl_->context,
            impl_->request));
  }
  grpc::ByteBuffer bytes;
  if (!impl_->reader->Read(&bytes)) return false;
  Rope rope = ToRope(bytes);
  impl_->damaged = wire::TakeSeal(rope) == wire::SealState::kBroken ||
                   !state.ParseFromString(rope.Flatten());
  if (impl_->damaged) impl_->context.TryCancel();
  return !impl_->damaged;
}

absl::Status StateReader::Finish() {
  const grpc::Status status = impl_->reader->Finish();
  if (impl_->damaged) {
    return absl::DataLossError("the cluster's state was damaged on the way");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

}  // namespace paramo
