// Messages that were damaged on the way are found by their seals.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/transport/state_reader.h"
#include "common/transport/state_watch.h"
#include "paramo/v1/control.grpc.pb.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/transport/answering_server.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;

TEST(Damage, ADamagedAnswerIsNobodysAndEndsTheStream) {
  // With another request's id, as when a bit of it was flipped.
  AnsweringServer server([](const v1::Request& request) {
    v1::Reply reply;
    reply.set_id(request.id());
    SetSeal(reply);
    reply.set_id(request.id() ^ 1);
    return reply;
  });
  ClientExecutor executor(1);
  DataChannel channel(executor, ChannelTo(server.port()));
  const absl::Status status = EchoOnce(channel, 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_FALSE(NeverSent(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("damaged on the way"));
}

TEST(Damage, ADamagedRequestIsNotServedAndEndsTheStream) {
  std::atomic<int> served{0};
  MetricsRegistry metrics;
  DataServer::Options options;
  options.metrics = &metrics;
  options.handler = [&](std::unique_ptr<IncomingCall> call) {
    if (!call->first()) ++served;
    Echo(std::move(call));
  };
  auto server = StartServer(std::move(options));
  auto stub = v1::Data::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", server->port()),
                          grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto stream = stub->Stream(&context);
  v1::Request request;
  v1::Reply reply;
  request.set_id(1);
  ASSERT_TRUE(stream->Write(request) && stream->Read(&reply));  // the Hello
  ASSERT_TRUE(stream->Write(request) && stream->Read(&reply));  // has no seal
  SetSeal(request);
  ASSERT_TRUE(stream->Write(request) && stream->Read(&reply));
  EXPECT_EQ(served, 2);

  request.set_id(3);
  ASSERT_TRUE(stream->Write(request));
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(served, 2);
  EXPECT_EQ(MetricValue(metrics, "paramo_streams_ended_total",
                        "{reason=\"damaged\"}"),
            1);
}

// Answers the first request when the second is on the way, and reads nothing
// more. So does a server that gave a stream up and was not heard.
class DeafServer final : public v1::Data::Service {
 public:
  DeafServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  int port() const { return port_; }
  void Answer() { answer_.set_value(); }

  grpc::Status Stream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::Reply, v1::Request>* stream) override {
    v1::Request request;
    v1::Reply reply;
    reply.mutable_hello()->set_protocol_max(1);
    SetSeal(reply);
    if (!stream->Read(&request) || !stream->Write(reply) ||
        !stream->Read(&request))
      return grpc::Status::CANCELLED;
    answer_.get_future().wait();
    reply.clear_hello();
    reply.set_id(request.id());
    SetSeal(reply);
    stream->Write(reply);
    while (!WaitUntil([&] { return context->IsCancelled(); })) continue;
    return grpc::Status::OK;
  }

 private:
  std::promise<void> answer_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(Damage, AStreamThatTakesNoRequestIsGivenUpLongBeforeTheDeadline) {
  DeafServer server;
  ClientExecutor executor(1);
  DataChannel::Options options = ChannelTo(server.port());
  options.probe = [](uint64_t id) { return ToMessage(MessageText(id, 0)); };
  options.probe_after = absl::Milliseconds(20);
  options.write_timeout = absl::Milliseconds(200);
  DataChannel channel(executor, std::move(options));
  const auto send = [&](size_t bytes, const Outcome& outcome) {
    const uint64_t id = channel.NextId();
    channel.Send(id, ToMessage(MessageText(id, bytes)),
                 absl::InfiniteDuration(), outcome.Done());
  };
  const Outcome answered;
  const Outcome stuck;
  send(0, answered);
  // Far more than a stream may have on the way.
  for (int i = 0; i < 32; ++i) send(size_t{1} << 20, stuck);
  server.Answer();
  EXPECT_TRUE(answered.Wait().ok());
  EXPECT_EQ(stuck.Wait().status().code(), absl::StatusCode::kUnavailable);
}

// Tells of version 5 what it had sealed of version 4, and stays.
class DamagedState final : public v1::Cluster::Service {
 public:
  DamagedState() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  int port() const { return port_; }

  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::ClusterState>* writer) override {
    v1::ClusterState state;
    state.set_version(4);
    SetSeal(state);
    writer->Write(state);
    state.set_version(5);
    writer->Write(state);
    while (!WaitUntil([&] { return context->IsCancelled(); })) continue;
    return grpc::Status::CANCELLED;
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(Damage, ADamagedStateOfTheClusterIsNotBelieved) {
  DamagedState server;
  grpc::ClientContext context;
  StateReader reader(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", server.port()),
                          grpc::InsecureChannelCredentials()),
      context, v1::WatchRequest());
  v1::ClusterState state;
  ASSERT_TRUE(reader.Read(state));
  EXPECT_EQ(state.version(), 4u);
  EXPECT_FALSE(reader.Read(state));
  EXPECT_EQ(reader.Finish().code(), absl::StatusCode::kDataLoss);
}

TEST(Damage, WhatIsHandedOutIsSealed) {
  StateWatch watch;
  DataServer::Options options;
  options.services = {watch.service()};
  auto server = StartServer(std::move(options));
  auto published = std::make_shared<v1::ClusterState>();
  published->set_version(4);
  watch.Publish(published);
  grpc::ClientContext context;
  v1::WatchRequest once;
  once.set_once(true);
  auto stub = v1::Cluster::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", server->port()),
                          grpc::InsecureChannelCredentials()));
  auto reader = stub->Watch(&context, once);
  v1::ClusterState state;
  ASSERT_TRUE(reader->Read(&state));
  EXPECT_TRUE(reader->Finish().ok());
  SetSeal(*published);
  EXPECT_TRUE(state.has_crc32c());
  EXPECT_EQ(state.crc32c(), published->crc32c());
}

}  // namespace
}  // namespace paramo
