// Peers that set no deadline, one that has passed, that vanish, or that never
// read (W7).
#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/routing/routing.h"
#include "paramo/job.h"
#include "tests/integration/bad_input/bad_input_testing.h"
#include "tests/integration/bad_input/http2.h"
#include "tests/integration/bad_input/raw_stream.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo::test {
namespace {

class DeadlineTest : public BadInputTest {
 protected:
  // Joins a bsp job, whose first round nobody will close.
  void JoinJob() {
    client_ = cluster_->Connect();
    JobSpec spec;
    spec.name = absl::StrCat("never-", ++jobs_);
    spec.epochs = 1;
    spec.examples = 10;
    spec.batch = 10;
    auto created = client_->CreateJob(spec);
    ASSERT_TRUE(created.ok()) << created.status().ToString();
    auto job = Job::Join(*client_, spec.name);
    ASSERT_TRUE(job.ok()) << job.status().ToString();
    job_ = *std::move(job);
    auto state = server().State();
    ASSERT_TRUE(state.ok()) << state.status();
    for (const v1::JobState& known : state->jobs()) {
      if (known.name() == spec.name) session_ = known.members(0).session();
    }
    ASSERT_NE(session_, 0u);
    SetUp();  // the membership is a record of its own
  }

  // A pull that must wait: of the step after that round.
  v1::Request ParkedPull(uint64_t id, uint32_t deadline_ms) {
    v1::Request request;
    request.set_id(id);
    request.set_deadline_ms(deadline_ms);
    v1::Section& section = *request.add_pull();
    section = SimpleSection(victim_.id(), {1});
    section.set_shard(ShardOf(victim_.id(), 1, 64));
    section.set_session(session_);
    section.set_clock(job_->first_clock() + 1);
    return request;
  }

  // Of clients; one more is the coordinator's, which asks whether it answers.
  static double Streams() { return server().Metric("paramo_streams") - 1; }
  static double Parked() { return server().Metric("paramo_parked_pulls"); }

  static void ExpectDeadline(const v1::SectionReply& reply) {
    EXPECT_EQ(reply.code(), 4u) << reply.message();
    EXPECT_EQ(reply.reason(), uint32_t{v1::REASON_DEADLINE});
    EXPECT_THAT(reply.message(), ::testing::HasSubstr("waits"));
  }

  static int jobs_;
  std::unique_ptr<Cluster> client_;
  std::unique_ptr<Job> job_;  // goes before its client
  uint64_t session_ = 0;
};
int DeadlineTest::jobs_ = 0;

TEST_F(DeadlineTest, W7_MissingDeadlineIsTheServersDefault) {
  JoinJob();
  RawStream stream(server().address());
  const double refused = server().Refused("deadline");
  const absl::Time start = absl::Now();
  ASSERT_TRUE(stream.Write(ParkedPull(1, 0)));
  v1::Reply reply;
  ASSERT_TRUE(stream.Read(&reply));
  const absl::Duration took = absl::Now() - start;
  EXPECT_GT(took, absl::Milliseconds(kDeadlineDefaultMs) - absl::Seconds(1));
  EXPECT_LT(took, absl::Milliseconds(kDeadlineDefaultMs) + absl::Seconds(5));
  ExpectDeadline(reply.pull(0));
  EXPECT_EQ(server().Refused("deadline"), refused + 1);
  ExpectUnharmed();
}

TEST_F(DeadlineTest, W7_AWaitEndsAtItsDeadline) {
  JoinJob();
  RawStream stream(server().address());
  const double refused = server().Refused("deadline");
  ASSERT_TRUE(stream.Write(ParkedPull(1, 1)));
  v1::Reply reply;
  ASSERT_TRUE(stream.Read(&reply));
  ExpectDeadline(reply.pull(0));
  EXPECT_EQ(server().Refused("deadline"), refused + 1);
  EXPECT_EQ(Parked(), 0);
  ExpectUnharmed();
}

// gRPC may end such a call before the server sees it, so there is no count.
TEST_F(DeadlineTest, W7_PassedDeadlineDoesNothing) {
  v1::Request push;
  *push.add_push() = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  RawSocket peer(port());
  peer.Send(
      Http2Call("/paramo.v1.Data/Push", Http2Header("grpc-timeout", "0n")) +
      Http2Frame(kDataFrame, kEndStreamFlag, 1,
                 GrpcMessage(push.SerializeAsString())));
  std::string received;
  peer.ClosedWithin(absl::Milliseconds(500), &received);
  EXPECT_NE(received, "");
  ExpectUnharmed();
}

TEST_F(DeadlineTest, W7_VanishedClientLeavesNothingBehind) {
  JoinJob();
  const double streams = Streams();
  {
    RawStream stream(server().address());
    for (uint64_t id = 1; id <= 100; ++id) {
      ASSERT_TRUE(stream.Write(ParkedPull(id, 1500)));
    }
    EXPECT_TRUE(WaitUntil([] { return Parked() == 100; }));
    EXPECT_TRUE(WaitUntil([&] { return Streams() == streams + 1; }));
    stream.Vanish();
  }
  EXPECT_TRUE(WaitUntil([&] { return Streams() == streams; }));
  EXPECT_TRUE(WaitUntil([] {
    return Parked() == 0 && server().Metric("paramo_requests_in_flight") == 0 &&
           server().Metric("paramo_held_bytes") == 0;
  }));
  ExpectUnharmed();
}

// Each takes 60 MiB of the 1 GiB for replies; 17 fit, and only 17.
TEST_F(DeadlineTest, W7_RepliesOfParkedPullsAreBounded) {
  const v1::Table widest = Create(CountingTable("reply", kDimMax));
  JoinJob();
  RawStream stream(server().address());
  v1::Request pull = ParkedPull(0, /*deadline_ms=*/10'000);
  const size_t row_bytes = size_t{kDimMax} * 4;
  const size_t rows = 240;
  const size_t fit = kReplyBytesDefault / (rows * row_bytes);
  pull.mutable_pull(0)->set_table(widest.id());
  pull.mutable_pull(0)->set_shard(ShardOf(widest.id(), 1, 64));
  const std::vector<uint64_t> keys(rows, 1);
  pull.mutable_pull(0)->set_keys(keys.data(), keys.size() * 8);
  for (size_t id = 1; id <= fit; ++id) {
    pull.set_id(id);
    ASSERT_TRUE(stream.Write(pull));
  }
  EXPECT_TRUE(WaitUntil([&] { return Parked() == fit; }));
  const double refused = server().Refused("overloaded");
  pull.set_id(fit + 1);
  ASSERT_TRUE(stream.Write(pull));
  v1::Reply reply;
  ASSERT_TRUE(stream.Read(&reply));
  EXPECT_EQ(reply.id(), fit + 1);
  EXPECT_EQ(reply.reason(), uint32_t{v1::REASON_OVERLOADED});
  EXPECT_THAT(reply.message(), ::testing::HasSubstr("replies"));
  EXPECT_EQ(server().Refused("overloaded"), refused + 1);
  stream.Vanish();
  EXPECT_TRUE(WaitUntil([] {
    return Parked() == 0 && server().Metric("paramo_reply_bytes") == 0;
  }));
  ExpectUnharmed(64 * kMiB);
}

// Pushes of 60 MiB each to a round that nobody closes: as many as the budget
// for what is held has room for.
TEST_F(DeadlineTest, W7_BytesOfAnOpenRoundAreBounded) {
  const v1::Table widest = Create(CountingTable("widest", kDimMax));
  JoinJob();
  RawStream stream(server().address());
  const size_t rows = 240;
  const size_t bytes = rows * kDimMax * 4;
  v1::Request push;
  v1::Section& section = *push.add_push();
  section = SimpleSection(widest.id(), std::vector<uint64_t>(rows, 1));
  section.set_values(std::string(bytes, '\0'));
  section.set_shard(ShardOf(widest.id(), 1, 64));
  section.set_session(session_);
  section.set_session_epoch(1);
  section.set_clock(job_->first_clock());
  const double refused = server().Refused("overloaded");
  v1::Reply reply;
  uint64_t sent = 0;
  do {
    push.set_id(++sent);
    section.set_seq(sent);
    ASSERT_TRUE(stream.Write(push));
    ASSERT_TRUE(stream.Read(&reply));
    ASSERT_LE(sent, kHeldBytesDefault / bytes + 1);
  } while (reply.code() == 0 && reply.push(0).code() == 0);
  EXPECT_EQ(reply.reason(), uint32_t{v1::REASON_OVERLOADED}) << reply.message();
  EXPECT_EQ(server().Refused("overloaded"), refused + 1);
  const double held = server().Metric("paramo_held_bytes");
  EXPECT_LE(held, kHeldBytesDefault);
  EXPECT_GT(held, kHeldBytesDefault - 2.0 * bytes);
  job_.reset();  // the worker leaves, and what it contributed goes
  EXPECT_TRUE(
      WaitUntil([] { return server().Metric("paramo_held_bytes") == 0; }));
  EXPECT_TRUE(cluster_->Running(0));
  ExpectServing();
}

// 1000 answers of 1 MiB each, of which the client reads not one.
TEST_F(DeadlineTest, W7_ClientThatNeverReadsIsBounded) {
  const v1::Table wide = Create(CountingTable("wide", 1024));
  SetUp();  // the new table is a record of its own
  const size_t resident = ResidentBytes(pid());
  const double before = server().Metric("paramo_sent_bytes_total");
  auto sent = [&] {
    return server().Metric("paramo_sent_bytes_total") - before;
  };
  RawStream stream(server().address());
  std::atomic<bool> written{false};
  std::thread writer([&] {
    v1::Request request;
    *request.add_pull() =
        SimpleSection(wide.id(), std::vector<uint64_t>(256, 9));
    for (uint64_t id = 1; id <= 1000; ++id) {
      request.set_id(id);
      if (!stream.Write(request)) break;
    }
    written = true;
  });
  // It goes on until the answers that wait reach the limit...
  const double limit = kStreamUnsentBytesSoft;
  EXPECT_TRUE(WaitUntil([&] { return sent() >= limit; })) << sent();
  // ... and then stops, while others are served as ever.
  for (int i = 0; i < 200; ++i) ExpectServing();
  EXPECT_LT(sent(), limit + 16 * kMiB);
  ExpectPeakBelow(pid(), resident + 128 * kMiB);
  EXPECT_TRUE(WaitUntil([] { return Streams() == 1; }));
  stream.Vanish();
  writer.join();
  EXPECT_TRUE(written);
  EXPECT_TRUE(WaitUntil([] { return Streams() == 0; }));
  SetUp();  // what the 200 pushes were is not the question
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
