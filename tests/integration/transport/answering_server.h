// A server of plain gRPC whose answers on a stream a test makes up.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/hash/crc32c.h"
#include "paramo/v1/data.grpc.pb.h"

namespace paramo {

template <typename Proto>
void SetSeal(Proto& proto) {
  proto.clear_crc32c();
  const std::string bytes = proto.SerializeAsString();
  proto.set_crc32c(Crc32c(bytes.data(), bytes.size()));
}

class AnsweringServer final : public v1::Data::Service {
 public:
  // Everything behind the Hello is answered with what it gives.
  using Answer = std::function<v1::Reply(const v1::Request&)>;

  explicit AnsweringServer(Answer answer) : answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  int port() const { return port_; }

  grpc::Status Stream(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::Reply, v1::Request>* stream) override {
    v1::Request request;
    v1::Reply hello;
    hello.mutable_hello()->set_protocol_max(1);
    SetSeal(hello);
    if (!stream->Read(&request) || !stream->Write(hello))
      return grpc::Status::CANCELLED;
    while (stream->Read(&request) && stream->Write(answer_(request))) {
    }
    return grpc::Status::OK;
  }

 private:
  const Answer answer_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace paramo
