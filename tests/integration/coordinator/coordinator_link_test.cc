// What a server hears of the cluster while its coordinator is dead: that which
// the coordinator had told others.
#include "server/service/coordinator_link.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "common/transport/state_watch.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/coordinator/coordinator_testing.h"

namespace paramo {
namespace {

// A server that does nothing but follow the state and hand it on.
class Follower {
 public:
  Follower(const std::string& coordinator, uint64_t incarnation) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(watch_.service());
    server_ = builder.BuildAndStart();
    CoordinatorLink::Options options;
    options.coordinators = {coordinator};
    options.address = absl::StrCat("127.0.0.1:", port);
    options.incarnation = incarnation;
    link_ = std::make_unique<CoordinatorLink>(std::move(options));
    const auto registered = link_->Register(absl::Seconds(20));
    EXPECT_TRUE(registered.ok()) << registered.status();
    id_ = registered->server_id;
    link_->Start([this](auto state) { watch_.Publish(state); },
                 [this](v1::HeartbeatRequest& beat) {
                   beat.set_applied_version(Version());
                 });
  }
  ~Follower() {
    link_->Stop(/*leaving=*/false);
    watch_.Stop();
    server_->Shutdown();
  }

  uint32_t id() const { return id_; }
  StateWatch& watch() { return watch_; }
  uint64_t Version() const {
    const auto state = watch_.state();
    return state == nullptr ? 0 : state->version();
  }
  bool KnowsAsUp(uint32_t id) const {
    const auto state = watch_.state();
    if (state == nullptr) return false;
    for (const v1::Server& server : state->servers()) {
      if (server.id() == id) return server.status() == v1::SERVER_STATUS_UP;
    }
    return false;
  }
  // The coordinator's next word, which nobody else has heard.
  uint64_t HearAlone() {
    auto state = std::make_shared<v1::ClusterState>(*watch_.state());
    state->set_version(state->version() + 1);
    watch_.Publish(state);
    return state->version();
  }

 private:
  StateWatch watch_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<CoordinatorLink> link_;
  uint32_t id_ = 0;
};

template <typename Condition>
bool Comes(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return false;
}

class CoordinatorLinkTest : public CoordinatorTest {
 protected:
  CoordinatorLinkTest() {
    EXPECT_TRUE(Comes([&] {
      return one_.KnowsAsUp(two_.id()) && two_.KnowsAsUp(one_.id()) &&
             one_.Version() == two_.Version();
    }));
  }

  const std::string address_ = coordinator_->address();
  Follower one_{address_, 11};
  Follower two_{address_, 22};
};

TEST_F(CoordinatorLinkTest, WhatADeadCoordinatorToldOneReachesTheOthers) {
  coordinator_.reset();
  const uint64_t version = one_.HearAlone();
  EXPECT_TRUE(Comes([&] { return two_.Version() == version; }));
}

TEST_F(CoordinatorLinkTest, ACoordinatorThatIsBackIsWatchedAgain) {
  coordinator_.reset();
  EXPECT_TRUE(Comes([version = one_.HearAlone(), this] {
    return two_.Version() == version;
  }));
  CoordinatorOptions options = Options(dir_);
  options.listen = address_;
  auto started = Coordinator::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  coordinator_ = *std::move(started);
  // Its versions go on where it stopped, so the first may not be newer.
  for (int i = 0; i < 3; ++i) {
    v1::CreateTableReply reply;
    const grpc::Status made = Call(&v1::Coordinator::Stub::CreateTable,
                                   Table(absl::StrCat("t", i)), &reply);
    ASSERT_TRUE(made.ok()) << made.error_message();
  }
  EXPECT_TRUE(Comes([&] {
    return one_.watch().state()->tables_size() == 3 &&
           two_.watch().state()->tables_size() == 3;
  }));
}

}  // namespace
}  // namespace paramo
