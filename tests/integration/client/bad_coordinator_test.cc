// A coordinator that tells a client of tables that cannot be.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "paramo/cluster.h"
#include "paramo/v1/control.grpc.pb.h"

namespace paramo {
namespace {

// One server, one shard, and one table as it is told to describe it.
class LyingCoordinator final : public v1::Cluster::Service,
                               public v1::Coordinator::Service {
 public:
  LyingCoordinator() {
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
    node.set_address(address_);
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

}  // namespace
}  // namespace paramo
