// A coordinator that tells a client of tables that cannot be.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/transport/listen.h"
#include "paramo/cluster.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

// One server, one shard, and one table as it is told to describe it.
class LyingCoordinator final : public v1::Cluster::Service,
                               public v1::Coordinator::Service {
 public:
  // The one server it tells of is there; "" = here.
  explicit LyingCoordinator(const std::string& node_address = "") {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(static_cast<v1::Cluster::Service*>(this));
    builder.RegisterService(static_cast<v1::Coordinator::Service*>(this));
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
    state_.set_cluster_id(7);
    state_.set_cluster_incarnation(8);
    state_.set_version(9);
    state_.set_shard_count(1);
    v1::Server& node = *state_.add_servers();
    node.set_id(1);
    node.set_address(node_address.empty() ? address_ : node_address);
    v1::Shard& shard = *state_.add_shards();
    shard.set_primary(1);
    shard.set_epoch(1);
    v1::Table& table = *state_.add_tables();
    table.set_id(1);
    table.set_version(1);
    table.mutable_spec()->set_name("t");
  }
  ~LyingCoordinator() override {
    over_.set_value();
    server_->Shutdown();
  }

  const std::string& address() const { return address_; }
  // Changed before anybody asks.
  v1::ClusterState& state() { return state_; }
  v1::TableSpec& spec() { return *state_.mutable_tables(0)->mutable_spec(); }
  // What it says when asked from now on.
  void Alter(uint32_t dim, uint64_t extent) {
    v1::Table& table = *state_.mutable_tables(0);
    table.set_version(table.version() + 1);
    spec().set_dim(dim);
    spec().mutable_tensor()->set_shape(0, extent);
  }

  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::ClusterState>* writer) override {
    writer->Write(state_);
    ended_.wait();
    return grpc::Status::OK;
  }
  grpc::Status CreateTable(grpc::ServerContext*, const v1::CreateTableRequest*,
                           v1::CreateTableReply* reply) override {
    *reply->mutable_table() = state_.tables(0);
    return grpc::Status::OK;
  }

 private:
  std::promise<void> over_;
  const std::shared_future<void> ended_ = over_.get_future().share();
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  v1::ClusterState state_;
};

TEST(BadCoordinatorTest, TablesThatCannotBeAreErrors) {
  struct Case {
    uint32_t dim;
    std::vector<uint64_t> shape;
  };
  const uint64_t much = uint64_t{1} << 39;
  for (const Case& c : std::vector<Case>{{0, {}},
                                         {0, {4}},
                                         {65537, {}},
                                         {4, {0}},
                                         {4, {much, much}},
                                         {1, {much}}}) {
    SCOPED_TRACE(absl::StrCat("dim ", c.dim, ", ", c.shape.size(), " extents"));
    LyingCoordinator coordinator;
    coordinator.spec().set_dim(c.dim);
    coordinator.spec().mutable_tensor()->mutable_shape()->Assign(
        c.shape.begin(), c.shape.end());
    ConnectOptions options;
    options.addresses = coordinator.address();
    auto cluster = Cluster::Connect(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
    EXPECT_EQ((*cluster)->OpenTable("t").status().code(), Code::kDataLoss);
    EXPECT_EQ((*cluster)->OpenTensor("t").status().code(), Code::kDataLoss);
    TableSpec spec;
    spec.name = "t";
    spec.dim = 4;
    const Status created = (*cluster)->CreateTable(spec).status();
    EXPECT_EQ(created.code(), Code::kDataLoss);
    EXPECT_NE(created.ToString().find("table t"), std::string::npos)
        << created.ToString();
  }
}

// Memory was laid out by the first word.
TEST(BadCoordinatorTest, ATableKeepsTheLayoutThatItWasOpenedWith) {
  LyingCoordinator coordinator;
  coordinator.spec().set_dim(4);
  coordinator.spec().mutable_tensor()->add_shape(8);
  ConnectOptions options;
  options.addresses = coordinator.address();
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  ASSERT_TRUE((*cluster)->OpenTensor("t").ok());

  coordinator.Alter(/*dim=*/1024, /*extent=*/1 << 20);
  TableSpec spec;
  spec.name = "t";
  spec.shape = {8};
  auto tensor = (*cluster)->CreateTensor(spec);
  ASSERT_TRUE(tensor.ok()) << tensor.status().ToString();
  EXPECT_EQ(tensor->size(), 8u);
  EXPECT_EQ(tensor->info().spec.dim, 4u);
  EXPECT_EQ(tensor->info().version, 2u);
}

// Its coordinator says nothing any more, and nothing fails that would make the
// client look elsewhere.
TEST(BadCoordinatorTest, Rule3_8_AServerIsWatchedBesideTheCoordinator) {
  LyingCoordinator server;
  server.state().set_version(10);
  server.spec().set_name("newer");
  server.spec().set_dim(4);
  LyingCoordinator coordinator(server.address());
  ConnectOptions options;
  options.addresses = coordinator.address();
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!(*cluster)->OpenTable("newer").ok() && absl::Now() < deadline) {
  }
  EXPECT_TRUE((*cluster)->OpenTable("newer").ok());
}

TEST(BadCoordinatorTest, ASparseTableIsNotTakenForATensor) {
  LyingCoordinator coordinator;
  coordinator.spec().set_dim(4);
  ConnectOptions options;
  options.addresses = coordinator.address();
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  TableSpec spec;
  spec.name = "t";
  spec.shape = {8};
  EXPECT_EQ((*cluster)->CreateTensor(spec).status().code(),
            Code::kInvalidArgument);
}

// Says one state, then what is none, and keeps the call open; as it looks when
// a bit was flipped on the way.
class DamagedWatch final
    : public v1::Cluster::WithRawCallbackMethod_Watch<v1::Cluster::Service> {
 public:
  // The one server it tells of is there; "" = here.
  explicit DamagedWatch(std::string node = "") : node_(std::move(node)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~DamagedWatch() override {
    server_->Shutdown(std::chrono::system_clock::now());  // cancels the calls
  }

  const std::string& address() const { return address_; }
  int watches() const { return watches_; }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(
      grpc::CallbackServerContext*, const grpc::ByteBuffer*) override {
    ++watches_;
    return new Call(State());
  }

 private:
  class Call final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
   public:
    explicit Call(const std::string& state) : said_(Bytes(state)) {
      StartWrite(&said_);
    }
    void OnWriteDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::CANCELLED);
      if (std::exchange(damaged_, true)) return;
      said_ = Bytes("\xff\xff\xff");
      StartWrite(&said_);
    }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    static grpc::ByteBuffer Bytes(const std::string& bytes) {
      const grpc::Slice slice(bytes);
      return grpc::ByteBuffer(&slice, 1);
    }

    grpc::ByteBuffer said_;
    bool damaged_ = false;
  };

  std::string State() const {
    v1::ClusterState state;
    state.set_cluster_id(7);
    state.set_cluster_incarnation(8);
    state.set_version(9);
    state.set_shard_count(1);
    v1::Server& node = *state.add_servers();
    node.set_id(1);
    node.set_address(node_.empty() ? address_ : node_);
    v1::Shard& shard = *state.add_shards();
    shard.set_primary(1);
    shard.set_epoch(1);
    v1::Table& table = *state.add_tables();
    table.set_id(1);
    table.set_version(1);
    table.mutable_spec()->set_name("t");
    table.mutable_spec()->set_dim(1);
    return state.SerializeAsString();
  }

  const std::string node_;
  std::atomic<int> watches_{0};
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

TEST(BadCoordinatorTest, AWatchThatIsDamagedOnTheWayIsMadeAgain) {
  auto coordinator = std::make_unique<DamagedWatch>();
  ConnectOptions options;
  options.addresses = coordinator->address();
  options.deadline = std::chrono::milliseconds(100);
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  auto table = (*cluster)->OpenTable("t");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  // What fails makes the client look for a newer state.
  const std::vector<uint64_t> keys = {1};
  std::vector<float> rows(1);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (coordinator->watches() < 2 && absl::Now() < deadline) {
    EXPECT_FALSE(table->Pull(keys, rows).ok());
  }
  EXPECT_GE(coordinator->watches(), 2);
  coordinator.reset();  // or a watch that nobody can end would keep the client
}

// The client watches there next, and its calls must not wait for that.
TEST(BadCoordinatorTest, AWatchThatCannotBeginHoldsUpNobody) {
  auto silent = Listen({"127.0.0.1", 0}, {});  // connects, and says nothing
  ASSERT_TRUE(silent.ok());
  auto coordinator =
      std::make_unique<DamagedWatch>(absl::StrCat("127.0.0.1:", silent->port));
  ConnectOptions options;
  options.addresses = coordinator->address();
  options.deadline = std::chrono::milliseconds(100);
  auto cluster = Cluster::Connect(options);
  ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
  auto table = (*cluster)->OpenTable("t");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  const std::vector<uint64_t> keys = {1};
  std::vector<float> rows(1);
  for (int i = 0; i < 10; ++i) {
    const absl::Time start = absl::Now();
    EXPECT_EQ(table->Pull(keys, rows).code(), Code::kDeadlineExceeded);
    EXPECT_LT(absl::Now() - start, absl::Seconds(2));
  }
}

}  // namespace
}  // namespace paramo
