// A real coordinator on a port of its own, and stubs that talk to it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "common/transport/settings.h"
#include "gtest/gtest.h"
#include "paramo/v1/admin.grpc.pb.h"
#include "paramo/v1/control.grpc.pb.h"
#include "server/coordinator/coordinator.h"

namespace paramo {

class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest() {
    char pattern[] = "/tmp/paramo_test.XXXXXX";
    dir_ = mkdtemp(pattern);
    Start();
  }
  ~CoordinatorTest() override {
    coordinator_.reset();
    std::filesystem::remove_all(dir_);
  }

  static CoordinatorOptions Options(const std::string& dir) {
    CoordinatorOptions options;
    options.listen = "127.0.0.1:0";
    options.data_dir = dir + "/data";
    options.rule_check = [](absl::string_view,
                            const std::map<std::string, double>& params) {
      return absl::StatusOr<CheckedRule>(CheckedRule{"none", params});
    };
    return options;
  }
  // Starts over the same data directory, on a new port.
  void Start() {
    coordinator_.reset();
    auto started = Coordinator::Start(Options(dir_));
    ASSERT_TRUE(started.ok()) << started.status();
    coordinator_ = std::move(*started);
    channel_ = MakeControlChannel(coordinator_->address());
    stub_ = v1::Coordinator::NewStub(channel_);
    cluster_ = v1::Cluster::NewStub(channel_);
    admin_ = v1::Admin::NewStub(channel_);
  }

  static std::unique_ptr<grpc::ClientContext> Deadline(
      std::chrono::milliseconds time = std::chrono::seconds(20)) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + time);
    return context;
  }

  // One call with a deadline of 20 s.
  template <typename Request, typename Reply>
  grpc::Status Call(grpc::Status (v1::Coordinator::Stub::*method)(
                        grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) {
    return ((*stub_).*method)(Deadline().get(), request, reply);
  }

  v1::ClusterState State() {
    v1::WatchRequest request;
    request.set_once(true);
    auto context = Deadline();
    auto reader = cluster_->Watch(context.get(), request);
    v1::ClusterState state;
    EXPECT_TRUE(reader->Read(&state));
    EXPECT_TRUE(reader->Finish().ok());
    return state;
  }
  v1::RegisterServerReply Register(uint64_t incarnation) {
    v1::RegisterServerRequest request;
    request.set_incarnation(incarnation);
    request.set_address("127.0.0.1:7701");
    v1::RegisterServerReply reply;
    grpc::Status status =
        Call(&v1::Coordinator::Stub::RegisterServer, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }
  grpc::Status Beat(uint32_t server, uint64_t incarnation, uint64_t applied,
                    bool leaving = false) {
    v1::HeartbeatRequest request;
    request.set_server_id(server);
    request.set_incarnation(incarnation);
    request.set_applied_version(applied);
    request.set_leaving(leaving);
    v1::HeartbeatReply reply;
    return Call(&v1::Coordinator::Stub::Heartbeat, request, &reply);
  }
  static v1::CreateTableRequest Table(const std::string& name) {
    v1::CreateTableRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_dim(4);
    request.mutable_spec()->mutable_rule()->set_name("sgd");
    return request;
  }
  // Value of a counter in Stats; 0 when it is not there.
  double Metric(const std::string& name, const std::string& labels) {
    v1::StatsReply stats;
    EXPECT_TRUE(admin_->Stats(Deadline().get(), {}, &stats).ok());
    for (const v1::Metric& metric : stats.metrics()) {
      if (metric.name() == name && metric.labels() == labels) {
        return metric.value();
      }
    }
    return 0;
  }

  std::string dir_;
  std::unique_ptr<Coordinator> coordinator_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  std::unique_ptr<v1::Cluster::Stub> cluster_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

}  // namespace paramo
