// The coordinator over real sockets: what servers, workers and tools see.
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <future>
#include <thread>

#include "client/core/control.h"
#include "gmock/gmock.h"
#include "tests/integration/coordinator/coordinator_testing.h"

namespace paramo {
namespace {

using testing::HasSubstr;
using Stub = v1::Coordinator::Stub;

TEST_F(CoordinatorTest, AServerRegistersBeatsAndIsSeenByWatchers) {
  v1::WatchRequest watch;
  auto context = Deadline();
  auto reader = cluster_->Watch(context.get(), watch);
  v1::ClusterState state;
  ASSERT_TRUE(reader->Read(&state));
  EXPECT_EQ(state.servers_size(), 0);
  uint64_t version = state.version();

  v1::RegisterServerReply server = Register(11);
  EXPECT_EQ(server.heartbeat_ms(), 50u);
  ASSERT_TRUE(reader->Read(&state));
  EXPECT_GT(state.version(), version);
  ASSERT_EQ(state.servers_size(), 1);
  EXPECT_EQ(state.servers(0).status(), v1::SERVER_STATUS_UP);
  EXPECT_EQ(state.shards(63).primary(), server.server_id());
  EXPECT_TRUE(Beat(server.server_id(), 11, state.version()).ok());

  // It falls silent.
  ASSERT_TRUE(reader->Read(&state));
  EXPECT_EQ(state.servers(0).status(), v1::SERVER_STATUS_DOWN);
  EXPECT_EQ(state.shards(63).primary(), server.server_id());
  EXPECT_EQ(Beat(server.server_id(), 11, 0).error_code(),
            grpc::StatusCode::NOT_FOUND);
  context->TryCancel();
  reader->Finish();
}

TEST_F(CoordinatorTest, AServerThatLeavesIsDownAtOnce) {
  v1::RegisterServerReply server = Register(11);
  ASSERT_TRUE(Beat(server.server_id(), 11, 0, /*leaving=*/true).ok());
  v1::WatchRequest watch;
  auto context = Deadline();
  auto reader = cluster_->Watch(context.get(), watch);
  v1::ClusterState state;
  do {
    ASSERT_TRUE(reader->Read(&state));
  } while (state.servers(0).status() == v1::SERVER_STATUS_UP);
  context->TryCancel();
  reader->Finish();
}

TEST_F(CoordinatorTest, AWatchStartsAfterTheVersionItNames) {
  uint64_t version = State().version();
  v1::WatchRequest watch;
  watch.set_cluster_id(State().cluster_id());
  watch.set_after_version(version);
  watch.set_once(true);
  auto context = Deadline();
  auto reader = cluster_->Watch(context.get(), watch);
  Register(11);
  v1::ClusterState state;
  ASSERT_TRUE(reader->Read(&state));
  EXPECT_GT(state.version(), version);
  EXPECT_FALSE(reader->Read(&state));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(CoordinatorTest, AWatchOfAnotherClusterIsRefused) {
  v1::WatchRequest watch;
  watch.set_cluster_id(State().cluster_id() + 1);
  auto context = Deadline();
  auto reader = cluster_->Watch(context.get(), watch);
  v1::ClusterState state;
  EXPECT_FALSE(reader->Read(&state));
  EXPECT_EQ(reader->Finish().error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

// The server is played by this thread: it beats, and says after a while that
// it has the table.
TEST_F(CoordinatorTest, CreateTableReturnsOnceTheServerHasApplied) {
  uint32_t id = Register(11).server_id();
  auto created = std::async(std::launch::async, [this] {
    v1::CreateTableReply reply;
    grpc::Status status = Call(&Stub::CreateTable, Table("ads"), &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  });
  v1::ClusterState state = State();
  while (state.tables_size() == 0) {
    ASSERT_TRUE(Beat(id, 11, 0).ok());
    state = State();
  }
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Beat(id, 11, state.version() - 1).ok());
    EXPECT_EQ(created.wait_for(std::chrono::milliseconds(20)),
              std::future_status::timeout);
  }
  ASSERT_TRUE(Beat(id, 11, state.version()).ok());
  v1::CreateTableReply reply = created.get();
  EXPECT_TRUE(reply.created());
  EXPECT_EQ(reply.state_version(), state.version());
  EXPECT_EQ(reply.table().id(), 1u);
}

TEST_F(CoordinatorTest, TablesAreListedAlteredAndDropped) {
  v1::CreateTableReply created;
  ASSERT_TRUE(Call(&Stub::CreateTable, Table("b"), &created).ok());
  ASSERT_TRUE(Call(&Stub::CreateTable, Table("a"), &created).ok());
  v1::ListTablesReply list;
  ASSERT_TRUE(Call(&Stub::ListTables, v1::ListTablesRequest(), &list).ok());
  ASSERT_EQ(list.tables_size(), 2);
  EXPECT_EQ(list.tables(0).spec().name(), "a");
  v1::AlterTableRequest alter;
  alter.set_name("a");
  alter.mutable_non_finite()->set_policy(v1::NonFinite::SKIP_ROW);
  v1::Table table;
  ASSERT_TRUE(Call(&Stub::AlterTable, alter, &table).ok());
  EXPECT_EQ(table.version(), 2u);
  v1::DropTableRequest drop;
  drop.set_name("a");
  drop.set_id(table.id());
  v1::DropTableReply dropped;
  ASSERT_TRUE(Call(&Stub::DropTable, drop, &dropped).ok());
  ASSERT_TRUE(Call(&Stub::DropTable, drop, &dropped).ok());  // its answer lost
  v1::DescribeTableRequest describe;
  describe.set_name("a");
  EXPECT_EQ(Call(&Stub::DescribeTable, describe, &table).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

// On the way to a real coordinator: the first drop gets there, and its answer
// is lost.
class LossyWay final : public v1::Coordinator::Service {
 public:
  explicit LossyWay(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::Coordinator::NewStub(channel)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  int drops() const { return drops_.load(); }

  grpc::Status DescribeTable(grpc::ServerContext*,
                             const v1::DescribeTableRequest* request,
                             v1::Table* reply) override {
    grpc::ClientContext context;
    return stub_->DescribeTable(&context, *request, reply);
  }
  grpc::Status DropTable(grpc::ServerContext*,
                         const v1::DropTableRequest* request,
                         v1::DropTableReply* reply) override {
    grpc::ClientContext context;
    const grpc::Status status = stub_->DropTable(&context, *request, reply);
    if (drops_.fetch_add(1) > 0) return status;
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {grpc::StatusCode::UNAVAILABLE, "the answer is lost"};
  }

 private:
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  int port_ = 0;
  std::atomic<int> drops_{0};
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(CoordinatorTest, ADropWhoseAnswerIsLostIsSentAgainAndIsADrop) {
  v1::CreateTableReply created;
  ASSERT_TRUE(Call(&Stub::CreateTable, Table("a"), &created).ok());
  const LossyWay way(channel_);
  client::Control control({way.address()});
  const absl::Status dropped = control.DropTable("a", absl::Seconds(20));
  EXPECT_TRUE(dropped.ok()) << dropped;
  EXPECT_EQ(way.drops(), 2);
  EXPECT_TRUE(absl::IsNotFound(control.DropTable("a", absl::Seconds(20))));
}

TEST_F(CoordinatorTest, ABarrierAnswersBeforeTheCallersDeadline) {
  v1::CreateJobRequest create;
  v1::JobSpec* spec = create.mutable_spec();
  spec->set_name("job");
  spec->set_workers(2);
  spec->set_epochs(1);
  spec->set_examples(10);
  spec->set_batch(1);
  spec->set_batches_per_data_shard(1);
  v1::CreateJobReply created;
  ASSERT_TRUE(Call(&Stub::CreateJob, create, &created).ok());
  v1::JoinJobRequest join;
  join.set_job("job");
  v1::JoinJobReply a, b;
  ASSERT_TRUE(Call(&Stub::JoinJob, join, &a).ok());
  ASSERT_TRUE(Call(&Stub::JoinJob, join, &b).ok());
  v1::BarrierRequest barrier;
  barrier.set_job(a.job());
  barrier.set_worker(a.worker());
  barrier.set_session(a.session());
  barrier.set_name("start");
  v1::BarrierReply reply;
  grpc::Status status = stub_->Barrier(
      Deadline(std::chrono::milliseconds(1000)).get(), barrier, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("rank 1"));

  auto first = std::async(std::launch::async, [&] {
    v1::BarrierReply done;
    return Call(&Stub::Barrier, barrier, &done);
  });
  v1::BarrierRequest other = barrier;
  other.set_worker(b.worker());
  other.set_session(b.session());
  EXPECT_TRUE(Call(&Stub::Barrier, other, &reply).ok());
  EXPECT_TRUE(first.get().ok());
}

TEST_F(CoordinatorTest, StoppingEndsWatchesAndWaitingCalls) {
  v1::WatchRequest watch;
  auto context = Deadline();
  auto reader = cluster_->Watch(context.get(), watch);
  v1::ClusterState state;
  ASSERT_TRUE(reader->Read(&state));
  uint32_t id = Register(11).server_id();
  // Beats go on, so that the call below waits for this server until the stop.
  std::thread beats([this, id] {
    while (Beat(id, 11, 0).ok()) continue;
  });
  auto created = std::async(std::launch::async, [this] {
    v1::CreateTableReply reply;
    return Call(&Stub::CreateTable, Table("ads"), &reply);
  });
  while (State().tables_size() == 0) continue;
  coordinator_.reset();
  beats.join();
  EXPECT_EQ(created.get().error_code(), grpc::StatusCode::UNAVAILABLE);
  while (reader->Read(&state)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(CoordinatorTest, ARestartKeepsClusterTablesAndShards) {
  Register(11);
  v1::ClusterState before = State();
  Start();
  v1::ClusterState after = State();
  EXPECT_EQ(after.cluster_id(), before.cluster_id());
  EXPECT_GE(after.version(), before.version());
  EXPECT_EQ(after.shards(0).SerializeAsString(),
            before.shards(0).SerializeAsString());
  EXPECT_TRUE(Beat(1, 11, 0).ok());  // known without registering again
}

TEST_F(CoordinatorTest, SaysThatItIsHealthy) {
  // grpc.health.v1.Health/Check of the server as a whole: an empty request;
  // the reply is field 1 = SERVING (1).
  grpc::GenericStub health(channel_);
  grpc::CompletionQueue queue;
  auto context = Deadline();
  grpc::Slice empty;
  auto call =
      health.PrepareUnaryCall(context.get(), "/grpc.health.v1.Health/Check",
                              grpc::ByteBuffer(&empty, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, nullptr);
  void* tag;
  bool ok;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  grpc::Slice slice;
  ASSERT_TRUE(reply.DumpToSingleSlice(&slice).ok());
  EXPECT_EQ(
      std::string(reinterpret_cast<const char*>(slice.begin()), slice.size()),
      "\x08\x01");
}

TEST_F(CoordinatorTest, ASecondOneOnTheSamePortOrDirectoryIsRefused) {
  CoordinatorOptions same_dir = Options(dir_);
  EXPECT_EQ(Coordinator::Start(same_dir).status().code(),
            absl::StatusCode::kFailedPrecondition);
  CoordinatorOptions same_port = Options(dir_ + "/other");
  same_port.listen = coordinator_->address();
  EXPECT_EQ(Coordinator::Start(same_port).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_GT(State().version(), 0u);
}

TEST_F(CoordinatorTest, OtherMachinesAreOnlyServedWhenAllowed) {
  CoordinatorOptions options = Options(dir_ + "/other");
  options.listen = "0.0.0.0:0";
  EXPECT_EQ(Coordinator::Start(options).status().code(),
            absl::StatusCode::kFailedPrecondition);
  options.listen = "127.0.0.1:0";
  options.metrics_listen = "0.0.0.0:0";
  EXPECT_EQ(Coordinator::Start(options).status().code(),
            absl::StatusCode::kFailedPrecondition);
  options.insecure_listen = true;
  auto started = Coordinator::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
}

// Heartbeats do not queue behind anything that the loop does.
TEST_F(CoordinatorTest, HeartbeatsAreAnsweredWhileManyRequestsWait) {
  uint32_t id = Register(11).server_id();
  std::vector<std::future<grpc::Status>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(std::async(std::launch::async, [this, i] {
      v1::CreateTableReply reply;
      return Call(&Stub::CreateTable, Table("t" + std::to_string(i)), &reply);
    }));
  }
  uint64_t version = 0;
  while (version == 0) {
    ASSERT_TRUE(Beat(id, 11, 0).ok());
    v1::ClusterState state = State();
    if (state.tables_size() == 20) version = state.version();
  }
  ASSERT_TRUE(Beat(id, 11, version).ok());
  for (auto& answer : waiting) EXPECT_TRUE(answer.get().ok());
}

}  // namespace
}  // namespace paramo
