// One stream to a server, as generated code has it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "paramo/v1/data.grpc.pb.h"

namespace paramo::test {

// A stream by generated code, whose two directions a test drives separately.
class RawStream {
 public:
  explicit RawStream(const std::string& address)
      : stub_(v1::Data::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Stream(&context_)) {
    v1::Request hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(1);
    v1::Reply reply;
    EXPECT_TRUE(stream_->Write(hello) && stream_->Read(&reply));
    EXPECT_TRUE(reply.has_hello());
    hello_ = reply.hello();
  }
  const v1::Hello& hello() const { return hello_; }  // the server's
  bool Write(const v1::Request& request) { return stream_->Write(request); }
  bool Read(v1::Reply* reply) { return stream_->Read(reply); }
  void Vanish() { context_.TryCancel(); }
  // Why the server ended it; waits until it has.
  grpc::StatusCode End() { return stream_->Finish().error_code(); }

 private:
  v1::Hello hello_;
  grpc::ClientContext context_;  // no deadline
  std::unique_ptr<v1::Data::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Request, v1::Reply>> stream_;
};

}  // namespace paramo::test
