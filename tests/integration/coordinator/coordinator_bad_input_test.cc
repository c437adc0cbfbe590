// What must not hurt the coordinator: every case over a real socket, with
// status, counter where gRPC lets us see it, state unchanged, still serving.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/transport/address.h"
#include "gmock/gmock.h"
#include "tests/integration/coordinator/coordinator_testing.h"

namespace paramo {
namespace {

using testing::HasSubstr;
using Stub = v1::Coordinator::Stub;

class BadInputTest : public CoordinatorTest {
 protected:
  BadInputTest() {
    v1::CreateTableReply reply;
    EXPECT_TRUE(Call(&Stub::CreateTable, Table("there"), &reply).ok());
    before_ = State().SerializeAsString();
  }
  ~BadInputTest() override {
    EXPECT_EQ(State().SerializeAsString(), before_);  // and it still serves
  }

  // The call is refused with that code, and counted.
  template <typename Request, typename Reply>
  void ExpectRefused(const std::string& name, grpc::StatusCode code,
                     const std::string& code_name,
                     grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                  const Request&, Reply*),
                     const Request& request) {
    const std::string labels =
        "{method=\"" + name + "\",code=\"" + code_name + "\"}";
    const std::string other =
        "{code=\"" + code_name + "\",method=\"" + name + "\"}";
    auto count = [&] {
      return Metric("paramo_coordinator_calls_total", labels) +
             Metric("paramo_coordinator_calls_total", other);
    };
    double counted = count();
    Reply reply;
    grpc::Status status = Call(method, request, &reply);
    EXPECT_EQ(status.error_code(), code) << name << status.error_message();
    EXPECT_FALSE(status.error_message().empty());
    EXPECT_EQ(count(), counted + 1) << name;
  }

  // Sends bytes on a connection of its own and returns what comes back before
  // the other side closes it, or after `wait`.
  std::string SendRaw(const std::string& bytes) {
    auto address = ParseAddress(coordinator_->address());
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(address->port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    timeval wait{20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    std::string answer;
    char buffer[4096];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(n));
    }
    EXPECT_TRUE(n == 0 || errno == ECONNRESET) << "not closed";
    close(fd);
    return answer;
  }

  std::string before_;
};

// W1: whatever is not HTTP/2 is hung up on.
TEST_F(BadInputTest, OtherProtocolsAreHungUpOn) {
  SendRaw("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  SendRaw(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9));  // TLS hello
  SendRaw(std::string(4096, '\xa5'));
}

// W3: refused by size, and by form.
TEST_F(BadInputTest, OversizedMessagesAreRefused) {
  v1::CreateJobRequest request;
  request.mutable_spec()->set_definition(
      std::string(2 * kControlMessageBytesMax, 'x'));
  v1::CreateJobReply reply;
  EXPECT_EQ(Call(&Stub::CreateJob, request, &reply).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// W4: compression is off, whatever it would inflate to.
TEST_F(BadInputTest, CompressedMessagesAreRefused) {
  v1::CreateJobRequest request;
  request.mutable_spec()->set_definition(std::string(1 << 20, 'x'));
  auto context = Deadline();
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::CreateJobReply reply;
  // A channel of the test's own: ours would not compress.
  auto stub = v1::Coordinator::NewStub(grpc::CreateChannel(
      coordinator_->address(), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(stub->CreateJob(context.get(), request, &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(BadInputTest, BadNamesAreRefusedEverywhere) {
  const auto kCode = grpc::StatusCode::INVALID_ARGUMENT;
  for (const std::string& name :
       {std::string(), std::string("../x"), std::string("a\nb"),
        std::string(4096, 'a')}) {
    v1::DescribeTableRequest describe;
    describe.set_name(name);
    ExpectRefused("DescribeTable", kCode, "INVALID_ARGUMENT",
                  &Stub::DescribeTable, describe);
    v1::DropTableRequest drop;
    drop.set_name(name);
    ExpectRefused("DropTable", kCode, "INVALID_ARGUMENT", &Stub::DropTable,
                  drop);
    v1::AlterTableRequest alter;
    alter.set_name(name);
    ExpectRefused("AlterTable", kCode, "INVALID_ARGUMENT", &Stub::AlterTable,
                  alter);
    ExpectRefused("CreateTable", kCode, "INVALID_ARGUMENT", &Stub::CreateTable,
                  Table(name));
    v1::JoinJobRequest join;
    join.set_job(name);
    ExpectRefused("JoinJob", kCode, "INVALID_ARGUMENT", &Stub::JoinJob, join);
    v1::StopJobRequest stop;
    stop.set_name(name);
    ExpectRefused("StopJob", kCode, "INVALID_ARGUMENT", &Stub::StopJob, stop);
    v1::DescribeJobRequest job;
    job.set_name(name);
    ExpectRefused("DescribeJob", kCode, "INVALID_ARGUMENT", &Stub::DescribeJob,
                  job);
  }
}

TEST_F(BadInputTest, EmptyRequestsAreRefused) {
  const auto kBad = grpc::StatusCode::INVALID_ARGUMENT;
  const auto kGone = grpc::StatusCode::NOT_FOUND;
  ExpectRefused("RegisterServer", kBad, "INVALID_ARGUMENT",
                &Stub::RegisterServer, v1::RegisterServerRequest());
  ExpectRefused("Heartbeat", kGone, "NOT_FOUND", &Stub::Heartbeat,
                v1::HeartbeatRequest());
  ExpectRefused("CreateTable", kBad, "INVALID_ARGUMENT", &Stub::CreateTable,
                v1::CreateTableRequest());
  ExpectRefused("CreateJob", kBad, "INVALID_ARGUMENT", &Stub::CreateJob,
                v1::CreateJobRequest());
  ExpectRefused("LeaveJob", kGone, "NOT_FOUND", &Stub::LeaveJob,
                v1::LeaveJobRequest());
  ExpectRefused("WorkerHeartbeat", kGone, "NOT_FOUND", &Stub::WorkerHeartbeat,
                v1::WorkerHeartbeatRequest());
  ExpectRefused("LeaseData", kGone, "NOT_FOUND", &Stub::LeaseData,
                v1::LeaseDataRequest());
  ExpectRefused("Barrier", kGone, "NOT_FOUND", &Stub::Barrier,
                v1::BarrierRequest());
  ExpectRefused("DrainServer", kGone, "NOT_FOUND", &Stub::DrainServer,
                v1::DrainServerRequest());
  ExpectRefused("TransferShard", grpc::StatusCode::FAILED_PRECONDITION,
                "FAILED_PRECONDITION", &Stub::TransferShard,
                v1::TransferShardRequest());
  v1::UnsafePromoteRequest promote;
  promote.set_server(1);
  ExpectRefused("UnsafePromote", kBad, "INVALID_ARGUMENT", &Stub::UnsafePromote,
                promote);  // without consent
  promote.set_accept_data_loss(true);
  ExpectRefused("UnsafePromote", grpc::StatusCode::FAILED_PRECONDITION,
                "FAILED_PRECONDITION", &Stub::UnsafePromote, promote);
}

// R2: a data directory of another cluster.
TEST_F(BadInputTest, ServersOfAnotherClusterAreRefused) {
  v1::RegisterServerRequest request;
  request.set_incarnation(1);
  request.set_address("127.0.0.1:1");
  request.set_cluster_id(1);
  request.set_server_id(1);
  ExpectRefused("RegisterServer", grpc::StatusCode::FAILED_PRECONDITION,
                "FAILED_PRECONDITION", &Stub::RegisterServer, request);
}

// W7: the caller's deadline has passed before we start.
TEST_F(BadInputTest, ACallerWhoGaveUpChangesNothing) {
  v1::CreateTableReply reply;
  grpc::Status status = stub_->CreateTable(
      Deadline(std::chrono::milliseconds(-1)).get(), Table("late"), &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

}  // namespace
}  // namespace paramo
