// A Core over a real store, driven step by step with time as a number.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "server/coordinator/core.h"
#include "tests/unit/server/coordinator/failing_kv.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {

// The answer to one call: absent while it waits.
struct Call {
  std::optional<absl::Status> status;
  Core::Done Done() {
    return [this](const absl::Status& s) { status = s; };
  }
  bool waits() const { return !status.has_value(); }
};

class CoreTest : public testing::Test {
 protected:
  CoreTest() { EXPECT_TRUE(Open().ok()); }

  // Starts (again) over what the store holds.
  absl::Status Open(uint32_t shards = 0) {
    core_.reset();
    liveness_ = std::make_unique<Liveness>();
    CoreOptions options;
    options.shards = shards;
    options.servers_expected = 1;
    options.rule_check = CheckTestRule;
    auto core = Core::Open(options, kv_, *liveness_, now_,
                           [this](std::shared_ptr<const v1::ClusterState> s) {
                             published_ = std::move(s);
                           });
    if (!core.ok()) return core.status();
    core_ = std::move(*core);
    return absl::OkStatus();
  }

  // One call and the end of its step.
  template <typename Request, typename Reply>
  absl::Status Do(void (Core::*method)(const Request&, Reply*, absl::Duration,
                                       Core::Done),
                  const Request& request, Reply* reply) {
    Call call;
    ((*core_).*method)(request, reply, now_, call.Done());
    Commit();
    EXPECT_FALSE(call.waits());
    return call.waits() ? absl::UnknownError("waits") : *call.status;
  }
  void Commit() { EXPECT_TRUE(core_->Commit(now_).ok()); }
  void Pass(absl::Duration time) {
    now_ += time;
    core_->Tick(now_);
    Commit();
  }

  // Registers a new server and returns its id.
  uint32_t AddServer(uint64_t incarnation) {
    v1::RegisterServerRequest request;
    request.set_incarnation(incarnation);
    request.set_address("127.0.0.1:7701");
    v1::RegisterServerReply reply;
    EXPECT_TRUE(Do(&Core::RegisterServer, request, &reply).ok());
    return reply.server_id();
  }
  // A heartbeat saying that everything published is applied.
  void Apply(uint32_t server, uint64_t incarnation) {
    ASSERT_TRUE(
        liveness_->Hear(server, incarnation, published_->version(), now_).ok());
    core_->Tick(now_);
    Commit();
  }

  static v1::CreateTableRequest Table(const std::string& name = "ads") {
    v1::CreateTableRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_dim(4);
    request.mutable_spec()->mutable_rule()->set_name("sgd");
    return request;
  }

  FailingKv kv_;
  std::unique_ptr<Liveness> liveness_;
  std::unique_ptr<Core> core_;
  std::shared_ptr<const v1::ClusterState> published_;
  absl::Duration now_ = absl::Seconds(10);
};

}  // namespace paramo
