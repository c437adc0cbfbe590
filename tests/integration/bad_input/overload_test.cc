// Clients that send several times what a server can take (G13): what is too
// much is refused with a retry-after, everything held stays within what is
// configured, and nobody stands in the way of what would free it.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/routing/routing.h"
#include "paramo/cluster.h"
#include "paramo/job.h"
#include "paramo/v1/data.grpc.pb.h"
#include "tests/integration/bad_input/bad_input_testing.h"
#include "tests/integration/bad_input/raw_stream.h"

namespace paramo::test {
namespace {

constexpr uint32_t kDim = 1024;
constexpr size_t kRows = 256;  // of 4 KiB: a push of 1 MiB
constexpr uint32_t kShards = 8;

// Replicas are whole again; a busy machine suspects servers that are well.
constexpr absl::Duration kHealed = absl::Seconds(60);

// The target is a minute: PARAMO_OVERLOAD_SECONDS=60.
absl::Duration HowLong() {
  const char* seconds = std::getenv("PARAMO_OVERLOAD_SECONDS");
  return absl::Seconds(seconds == nullptr ? 5 : std::atoi(seconds));
}

// A stream of pushes to one shard, written without waiting for answers, and
// what became of them.
class Flood {
 public:
  Flood(const std::string& address, const v1::Section& push)
      : stub_(v1::Data::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Stream(&context_)) {
    v1::Request hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(1);
    stream_->Write(hello);
    *push_.add_push() = push;
    writer_ = std::thread([this] { Write(); });
    reader_ = std::thread([this] { Read(); });
  }
  ~Flood() {
    context_.TryCancel();
    writer_.join();
    reader_.join();
  }
  int applied() const { return applied_; }
  int refused() const { return refused_; }
  int others() const { return others_; }

 private:
  void Write() {
    for (uint64_t id = 1;; ++id) {
      push_.set_id(id);
      if (!stream_->Write(push_)) return;
    }
  }
  void Read() {
    v1::Reply reply;
    if (!stream_->Read(&reply)) return;  // the Hello
    while (stream_->Read(&reply)) {
      const bool whole = reply.code() != 0;
      const uint32_t code = whole ? reply.code() : reply.push(0).code();
      const uint32_t reason = whole ? reply.reason() : reply.push(0).reason();
      const uint32_t retry_after =
          whole ? reply.retry_after_ms() : reply.push(0).retry_after_ms();
      if (code == 0) {
        ++applied_;
      } else if (reason == v1::REASON_OVERLOADED && retry_after > 0) {
        ++refused_;
      } else if (code != static_cast<uint32_t>(absl::StatusCode::kAborted)) {
        ++others_;  // aborted: on a starved machine the shard moves
      }
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<v1::Data::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Request, v1::Reply>> stream_;
  v1::Request push_;
  std::atomic<int> applied_{0};
  std::atomic<int> refused_{0};
  std::atomic<int> others_{0};
  std::thread writer_;
  std::thread reader_;
};

class OverloadTest : public ::testing::Test {
 protected:
  static constexpr size_t kHeld = 64 * kMiB;
  // What this test sets: requests, replies, records that wait for the disk, and
  // twice as much that is arriving. And what glibc keeps for threads to use
  // again: 64 MiB in each of up to 8 arenas per core. Far below the 256 MiB
  // that each of eight streams has in flight.
  static constexpr size_t kResidentMore = 5 * kHeld + 1024 * kMiB;

  OverloadTest()
      : cluster_({.servers = 2,
                  .replicas = 2,
                  .shards = kShards,
                  .server_args = {"--held-bytes=64MiB", "--reply-bytes=64MiB",
                                  "--log-buffer-bytes=64MiB",
                                  "--receive-bytes=128MiB"}}) {
    table_ = *cluster_.coordinator().CreateTable(CountingTable("flood", kDim));
    good_ = *cluster_.coordinator().CreateTable(CountingTable("good", 1));
    EXPECT_TRUE(WaitUntil([this] { return InSync(); }));
    for (int i = 0; i < 2; ++i) {
      resident_[i] = ResidentBytes(cluster_.pid(i));
      ForgetPeak(cluster_.pid(i));
    }
  }
  bool InSync() {
    auto state = cluster_.coordinator().State();
    return state.ok() &&
           std::all_of(state->shards().begin(), state->shards().end(),
                       [](const v1::Shard& shard) {
                         return shard.in_sync_size() == 2;
                       });
  }
  // 1 MiB for rows of `shard`.
  v1::Section Push(ShardId shard) const {
    std::vector<uint64_t> keys;
    for (uint64_t key = 0; keys.size() < kRows; ++key) {
      if (ShardOf(table_.id(), key, kShards) == shard) keys.push_back(key);
    }
    v1::Section section =
        SimpleSection(table_.id(), keys, std::vector<float>(kRows * kDim, 1));
    section.set_shard(shard);
    return section;
  }
  // A stream for each shard that `server` serves.
  void StartFlood(int server) {
    const auto state = *cluster_.coordinator().State();
    std::string address = cluster_.server(server).address();
    for (const v1::Shard& shard : state.shards()) {
      for (const v1::Server& node : state.servers()) {
        if (node.id() != shard.primary() || node.address() != address) continue;
        floods_.push_back(std::make_unique<Flood>(address, Push(shard.id())));
      }
    }
    ASSERT_GE(floods_.size(), 2u);
  }
  // Somebody who does as asked: each of its pushes gets through, in time.
  void ExpectOthersServed(absl::Duration how_long) {
    auto client = cluster_.Connect();
    auto table = client->OpenTable("good");
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    std::vector<uint64_t> keys(100);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    const std::vector<float> ones(keys.size(), 1);
    const absl::Time end = absl::Now() + how_long;
    absl::Duration worst;
    int pushes = 0;
    do {
      const absl::Time start = absl::Now();
      const Result<PushAck> ack = table->Push(keys, ones);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      worst = std::max(worst, absl::Now() - start);
      ++pushes;
    } while (absl::Now() < end);
    std::vector<float> rows(keys.size());
    ASSERT_TRUE(table->Pull(keys, rows).ok());
    EXPECT_THAT(rows, ::testing::Each(-pushes));
    RecordProperty("others_pushes", pushes);
    RecordProperty("others_worst_ms",
                   static_cast<int>(absl::ToInt64Milliseconds(worst)));
  }
  int Sum(int (Flood::*count)() const) const {
    int sum = 0;
    for (const auto& flood : floods_) sum += (flood.get()->*count)();
    return sum;
  }
  void ExpectBounded() {
    for (int i = 0; i < 2; ++i) {
      const size_t peak = PeakResidentBytes(cluster_.pid(i));
      RecordProperty(absl::StrCat("peak_mib_", i),
                     static_cast<int>(peak / kMiB));
      ExpectPeakBelow(cluster_.pid(i), resident_[i] + kResidentMore);
      EXPECT_LE(cluster_.server(i).Metric("paramo_held_bytes"), kHeld);
      EXPECT_LE(cluster_.server(i).Metric("paramo_log_buffered_bytes"),
                kHeld + 4 * kMiB);  // one push of each shard at once
    }
  }

  TestCluster cluster_;
  v1::Table table_, good_;
  size_t resident_[2];
  std::vector<std::unique_ptr<Flood>> floods_;  // go first
};

// 256 MiB in flight on each stream, where all of them may hold 64.
TEST_F(OverloadTest, G13_ExcessIsRefusedAndMemoryStaysBounded) {
  for (int server = 0; server < 2; ++server) StartFlood(server);
  EXPECT_TRUE(WaitUntil([this] { return Sum(&Flood::refused) > 0; }, kHealed));
  ExpectOthersServed(HowLong());
  ExpectBounded();
  EXPECT_GT(Sum(&Flood::applied), 0);
  EXPECT_EQ(Sum(&Flood::others), 0);
  RecordProperty("applied", Sum(&Flood::applied));
  RecordProperty("refused", Sum(&Flood::refused));
}

// What it would have to have is not kept for it in memory without bound; it
// gets it from the log when it is back.
TEST_F(OverloadTest, G13_AStoppedBackupCostsItsPrimaryNoMemory) {
  StartFlood(0);
  EXPECT_TRUE(WaitUntil([this] { return Sum(&Flood::applied) > 0; }));
  cluster_.Signal(1, SIGSTOP);
  ExpectOthersServed(HowLong());
  const int applied = Sum(&Flood::applied);
  EXPECT_TRUE(WaitUntil(
      [&] { return Sum(&Flood::applied) > applied; }));  // goes on without it
  const size_t peak = PeakResidentBytes(cluster_.pid(0));
  RecordProperty("peak_mib", static_cast<int>(peak / kMiB));
  ExpectPeakBelow(cluster_.pid(0), resident_[0] + kResidentMore);
  floods_.clear();
  cluster_.Signal(1, SIGCONT);
  EXPECT_TRUE(WaitUntil([this] { return InSync(); }, kHealed));
  ExpectBounded();
}

// Waiting pulls fill all there is for replies; the push that ends their step
// is taken all the same, on the same stream.
TEST_F(OverloadTest, G13_ParkedPullsDoNotBlockThePushTheyWaitFor) {
  auto client = cluster_.Connect();
  JobSpec spec;
  spec.name = "waits";
  spec.epochs = 1;
  spec.examples = 10;
  spec.batch = 10;
  auto created = client->CreateJob(spec);
  ASSERT_TRUE(created.ok()) << created.status().ToString();
  auto job = Job::Join(*client, spec.name);
  ASSERT_TRUE(job.ok()) << job.status().ToString();
  const v1::ClusterState state = *cluster_.coordinator().State();
  const Peer& server = cluster_.server(0);
  ShardId shard = 0;
  for (const v1::Server& node : state.servers()) {
    if (node.address() != server.address()) continue;
    while (state.shards(shard).primary() != node.id()) ++shard;
  }

  v1::Section section = Push(shard);
  section.set_session(state.jobs(0).members(0).session());
  section.set_session_epoch(1);
  section.set_clock((*job)->first_clock());
  section.set_seq(1);
  section.set_flags(v1::SECTION_FLAG_END_OF_CLOCK);
  v1::Request push;
  *push.add_push() = section;
  section.clear_values();
  section.clear_seq();
  section.clear_flags();
  section.set_clock((*job)->first_clock() + 1);
  v1::Request pull;
  *pull.add_pull() = section;

  RawStream stream(server.address());
  const uint64_t fit = kHeld / kMiB;
  for (uint64_t id = 1; id <= fit; ++id) {
    pull.set_id(id);
    ASSERT_TRUE(stream.Write(pull));
  }
  EXPECT_TRUE(
      WaitUntil([&] { return server.Metric("paramo_parked_pulls") == fit; }));
  v1::Reply reply;
  pull.set_id(fit + 1);
  ASSERT_TRUE(stream.Write(pull));
  ASSERT_TRUE(stream.Read(&reply));
  EXPECT_EQ(reply.reason(), uint32_t{v1::REASON_OVERLOADED});
  EXPECT_GT(reply.retry_after_ms(), 0u);

  push.set_id(fit + 2);
  ASSERT_TRUE(stream.Write(push));
  for (uint64_t i = 0; i <= fit; ++i) {
    ASSERT_TRUE(stream.Read(&reply));
    ASSERT_EQ(reply.code(), 0u) << reply.message();
    const v1::SectionReply& answer =
        reply.id() == fit + 2 ? reply.push(0) : reply.pull(0);
    EXPECT_EQ(answer.code(), 0u) << answer.message();
  }
  EXPECT_EQ(server.Metric("paramo_parked_pulls"), 0);
  EXPECT_EQ(server.Metric("paramo_reply_bytes"), 0);
}

// What is taken fits the log, and the way to a backup (static_asserts).
TEST(LargestPushTest, IsTakenAndOneMoreRowIsTooLarge) {
  TestCluster cluster({.servers = 1, .shards = 1});
  constexpr uint32_t kNarrow = 64;
  constexpr size_t kRowBytes = sizeof(uint64_t) + kNarrow * sizeof(float);
  const v1::Table table =
      *cluster.coordinator().CreateTable(CountingTable("t", kNarrow));
  const auto push = [&](size_t rows) {
    std::vector<uint64_t> keys(rows);
    for (size_t i = 0; i < rows; ++i) keys[i] = i;
    v1::Request request;
    *request.add_push() =
        SimpleSection(table.id(), keys, std::vector<float>(rows * kNarrow, 1));
    auto reply = cluster.server(0).Push(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->push(0) : v1::SectionReply();
  };
  constexpr size_t kMost = kPushBytesMax / kRowBytes;
  EXPECT_EQ(push(kMost + 1).reason(), uint32_t{v1::REASON_TOO_LARGE});
  const v1::SectionReply largest = push(kMost);
  EXPECT_EQ(largest.code(), 0u) << largest.message();
}

}  // namespace
}  // namespace paramo::test
