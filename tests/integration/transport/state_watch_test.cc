// The state of the cluster, watched: as many calls at once as the limit.
#include "common/transport/state_watch.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "paramo/v1/control.grpc.pb.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

class StateWatchTest : public ::testing::Test {
 protected:
  // A call that stays open.
  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::ClusterState>> reader;
    v1::ClusterState state;
  };

  StateWatchTest() {
    DataServer::Options options;
    options.services = {watch_.service()};
    server_ = StartServer(std::move(options));
    calls_.resize(kStateWatchersMax);
  }
  ~StateWatchTest() override {
    for (auto& call : calls_)
      if (call != nullptr) call->context.TryCancel();
    calls_.clear();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) continue;
    watch_.Stop();
    server_.reset();
  }

  // On a connection of its own.
  std::unique_ptr<v1::Cluster::Stub> Connect() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::Cluster::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(server_->port()),
        grpc::InsecureChannelCredentials(), arguments));
  }

  // Starts them all, over as many connections as their streams need.
  void OpenAll() {
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (i % kConcurrentStreamsMax == 0) stubs_.push_back(Connect());
      calls_[i] = std::make_unique<Call>();
      calls_[i]->reader = stubs_.back()->AsyncWatch(
          &calls_[i]->context, v1::WatchRequest(), &queue_, nullptr);
    }
    AwaitAll();
  }
  void AwaitAll() {
    for (size_t i = 0; i < calls_.size(); ++i) {
      void* tag;
      bool ok = false;
      ASSERT_EQ(queue_.AsyncNext(&tag, &ok,
                                 std::chrono::system_clock::now() +
                                     std::chrono::seconds(20)),
                grpc::CompletionQueue::GOT_EVENT);
      ASSERT_TRUE(ok);
    }
  }
  void ReadAll() {
    for (auto& call : calls_) call->reader->Read(&call->state, nullptr);
    AwaitAll();
  }

  void Publish(uint64_t version) {
    auto state = std::make_shared<v1::ClusterState>();
    state->set_version(version);
    watch_.Publish(std::move(state));
  }
  grpc::Status WatchOnce() {
    grpc::ClientContext context;
    v1::WatchRequest request;
    request.set_once(true);
    auto reader = Connect()->Watch(&context, request);
    v1::ClusterState state;
    while (reader->Read(&state)) continue;
    return reader->Finish();
  }

  StateWatch watch_;
  std::unique_ptr<DataServer> server_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<v1::Cluster::Stub>> stubs_;
  std::vector<std::unique_ptr<Call>> calls_;
};

TEST_F(StateWatchTest, AsManyCallsAsTheLimitAndNoMore) {
  OpenAll();
  Publish(1);
  ReadAll();  // so the server has every one of them
  EXPECT_EQ(WatchOnce().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  calls_.back()->context.TryCancel();
  calls_.pop_back();
  EXPECT_TRUE(WaitUntil([&] { return WatchOnce().ok(); }));
  Publish(2);
  ReadAll();
  EXPECT_EQ(calls_.front()->state.version(), 2u);
}

}  // namespace
}  // namespace paramo
