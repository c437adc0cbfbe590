// Clients that do with their shared memory what they like: name bytes outside
// it, write to it while the server reads, share it, hoard it, and vanish.
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/hash/crc32c.h"
#include "common/transport/shm_client.h"
#include "common/wire/envelope.h"
#include "common/wire/seal.h"
#include "tests/integration/bad_input/bad_input_testing.h"
#include "tests/integration/bad_input/raw_stream.h"

namespace paramo::test {
namespace {

std::shared_ptr<ShmClient> LaneOf(const v1::Hello& hello) {
  auto lane = ShmClient::Connect(hello.shm_directory(), hello.shm_token());
  return lane.ok() ? *std::move(lane) : nullptr;
}

// A stream, its lane, and one block at the beginning of that.
class Intruder {
 public:
  static constexpr size_t kReplyBytes = kMiB;

  explicit Intruder(const Peer& server, size_t bytes = kMiB)
      : stream_(server.address()), lane_(LaneOf(stream_.hello())) {
    EXPECT_NE(lane_, nullptr);
    message_.push_back(*lane_->Make(bytes, kReplyBytes));
    block_ = lane_->Find(message_);
  }

  RawStream& stream() { return stream_; }
  uint8_t* memory() { return message_[0].data(); }

  // Lays the request out at the beginning, sealed; gives its true envelope.
  v1::Request Lay(const v1::Request& request) {
    const std::string bytes = request.SerializeAsString();
    std::memcpy(memory(), bytes.data(), bytes.size());
    wire::Seal(memory(), bytes.size());
    const Message sealed = block_->Seal(request.id());
    v1::Request envelope;
    EXPECT_TRUE(envelope.ParseFromArray(sealed[0].data(),
                                        static_cast<int>(sealed[0].size())));
    // block_ is larger than the request, and has put a seal at its own end.
    envelope.set_shm_bytes(
        static_cast<uint32_t>(bytes.size() + wire::kSealBytes));
    return envelope;
  }
  // The answer, wherever it is; none when the stream has ended.
  std::optional<v1::Reply> Call(const v1::Request& envelope) {
    v1::Reply reply;
    if (!stream_.Write(envelope) || !stream_.Read(&reply)) return std::nullopt;
    if (!reply.has_shm_bytes()) return reply;
    shared_ = true;
    EXPECT_TRUE(reply.ParseFromString(
        ShmBlock::Reply(block_, reply.shm_bytes()).Flatten()));
    return reply;
  }
  bool shared() const { return shared_; }  // an answer was

 private:
  RawStream stream_;
  std::shared_ptr<ShmClient> lane_;
  Message message_;
  std::shared_ptr<const ShmBlock> block_;
  bool shared_ = false;
};

class SharedMemoryTest : public BadInputTest {
 protected:
  static std::vector<uint64_t> Keys() {
    std::vector<uint64_t> keys(1000);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    return keys;
  }
  static v1::Request PullOfVictim(uint64_t id) {
    v1::Request request;
    request.set_id(id);
    *request.add_pull() = SimpleSection(victim_.id(), Keys());
    return request;
  }
  static double Ended(const std::string& reason) {
    return server().Metric("paramo_streams_ended_total",
                           "{reason=\"" + reason + "\"}");
  }
  static double Lanes() { return server().Metric("paramo_shm_lanes"); }
  static double Refused(const std::string& reason) {
    return server().Metric("paramo_shm_refused_total",
                           "{reason=\"" + reason + "\"}");
  }
  static void ExpectNoLanesLeft() {
    EXPECT_TRUE(WaitUntil([] { return Lanes() == 0; })) << Lanes();
  }
  // The stream must end so, counted so.
  static void ExpectEnded(Intruder& intruder, const v1::Request& envelope,
                          grpc::StatusCode code, const std::string& reason) {
    const double before = Ended(reason);
    EXPECT_FALSE(intruder.Call(envelope).has_value());
    EXPECT_EQ(intruder.stream().End(), code);
    EXPECT_EQ(Ended(reason), before + 1);
  }
  static void ExpectVictimPulled(const std::optional<v1::Reply>& reply) {
    ASSERT_TRUE(reply.has_value());
    ASSERT_EQ(reply->pull_size(), 1);
    ASSERT_EQ(reply->pull(0).code(), 0u) << reply->pull(0).message();
    EXPECT_EQ(Floats(reply->pull(0).values()), std::vector<float>(4000, -1));
  }
};

TEST_F(SharedMemoryTest, ARequestThereIsServedLikeAnyOther) {
  Intruder client(server());
  ExpectVictimPulled(client.Call(client.Lay(PullOfVictim(1))));
  EXPECT_TRUE(client.shared());
  ExpectUnharmed();
}

TEST_F(SharedMemoryTest, BytesOutsideTheLaneEndTheStream) {
  constexpr uint32_t kEnd = kShmLaneBytes;
  constexpr uint32_t kMax = UINT32_MAX;
  const struct {
    uint32_t offset, bytes, reply_offset, reply_bytes;
  } kCases[] = {{kEnd, 1, 0, 0},  {kEnd - 63, 64, 0, 0}, {kMax, kMax, 0, 0},
                {kMax, 1, 0, 0},  {0, kEnd + 1, 0, 0},   {0, kMax, 0, 0},
                {1, kMax, 0, 0},  {0, 64, kEnd, 1},      {0, 64, kMax, kMax},
                {0, 64, 1, kMax}, {0, 64, 0, kEnd + 1}};
  for (const auto& bad : kCases) {
    SCOPED_TRACE(absl::StrCat(bad.offset, " ", bad.bytes, " ", bad.reply_offset,
                              " ", bad.reply_bytes));
    Intruder intruder(server());
    v1::Request envelope = intruder.Lay(PullOfVictim(1));
    envelope.set_shm_offset(bad.offset);
    envelope.set_shm_bytes(bad.bytes);
    envelope.set_shm_reply_offset(bad.reply_offset);
    envelope.set_shm_reply_bytes(bad.reply_bytes);
    ExpectEnded(intruder, envelope, grpc::StatusCode::INVALID_ARGUMENT,
                "refused");
  }
  ExpectNoLanesLeft();
  ExpectUnharmed();
}

TEST_F(SharedMemoryTest, ALaneOfAnotherStreamEndsTheStream) {
  Intruder owner(server());
  const v1::Request envelope = owner.Lay(PullOfVictim(1));
  ExpectVictimPulled(owner.Call(envelope));
  Intruder intruder(server());
  ExpectEnded(intruder, envelope, grpc::StatusCode::INVALID_ARGUMENT,
              "refused");
  // A second lane, on a stream that has one.
  Intruder other(server());
  const v1::Request own = other.Lay(PullOfVictim(1));
  ExpectVictimPulled(other.Call(own));
  Intruder idle(server());
  v1::Request second = own;
  second.set_shm_lane(idle.Lay(PullOfVictim(1)).shm_lane());
  ExpectEnded(other, second, grpc::StatusCode::INVALID_ARGUMENT, "refused");
  // Names of no lane.
  for (const uint64_t lane : {uint64_t{0}, own.shm_lane() + 1}) {
    Intruder guesser(server());
    v1::Request guess = guesser.Lay(PullOfVictim(1));
    guess.set_shm_lane(lane);
    ExpectEnded(guesser, guess, grpc::StatusCode::INVALID_ARGUMENT, "refused");
  }
  ExpectVictimPulled(owner.Call(envelope));  // its own is as it was
  ExpectUnharmed();
}

TEST_F(SharedMemoryTest, BytesWithoutTheirSealEndTheStream) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  BitGen random(kSeed);
  const auto expect_damaged = [](auto spoil) {
    Intruder intruder(server());
    v1::Request envelope = intruder.Lay(PullOfVictim(1));
    spoil(intruder, envelope);
    ExpectEnded(intruder, envelope, grpc::StatusCode::DATA_LOSS, "damaged");
  };
  expect_damaged([](Intruder&, v1::Request& e) { e.set_shm_bytes(0); });
  expect_damaged([](Intruder&, v1::Request& e) { e.set_shm_bytes(5); });
  expect_damaged([](Intruder&, v1::Request& e) { e.set_id(2); });
  expect_damaged([&](Intruder& intruder, v1::Request& e) {
    for (size_t i = 0; i < e.shm_bytes(); ++i)
      intruder.memory()[i] = static_cast<uint8_t>(random.Next());
  });
  for (int i = 0; i < 20; ++i)
    expect_damaged([&](Intruder& intruder, v1::Request& e) {
      intruder.memory()[random.Below(e.shm_bytes())] ^= 1 << random.Below(8);
    });
  // No seal at all, which gRPC's streams allow.
  expect_damaged([](Intruder& intruder, v1::Request& e) {
    e.set_shm_bytes(e.shm_bytes() - wire::kSealBytes);
    intruder.memory()[e.shm_bytes() - wire::kSealBytes] = 0;
  });
  ExpectUnharmed();
}

// A push is applied as its seal says, or not at all, whatever is written over
// it meanwhile: rows then hold minus the number of answered pushes.
TEST_F(SharedMemoryTest, WhatIsWrittenWhileTheServerReadsIsNeverApplied) {
  const v1::Table table = Create(CountingTable("scribbled", 64));
  v1::Request push;
  push.set_id(1);
  *push.add_push() =
      SimpleSection(table.id(), Keys(), std::vector<float>(64'000, 1));
  constexpr uint64_t kSeed = 17;
  SCOPED_TRACE(kSeed);
  int applied = 0;
  int refused = 0;
  for (uint64_t round = 0; applied < 30 || refused < 30; ++round) {
    ASSERT_LT(round, 2000u) << applied << " applied, " << refused << " refused";
    Intruder intruder(server());
    const v1::Request envelope = intruder.Lay(push);
    std::atomic<bool> stop{false};
    std::thread scribbler([&] {
      BitGen random(kSeed + round);
      const auto pause = [&](uint64_t most) {
        for (uint64_t left = random.Below(most); left > 0; --left) stop.load();
      };
      while (!stop.load()) {
        // Whole most of the time, so that some copies are.
        volatile uint8_t* at =
            intruder.memory() + random.Below(envelope.shm_bytes());
        *at = *at ^ 0x40;
        pause(2'000);
        *at = *at ^ 0x40;
        pause(20'000);
      }
    });
    while (const auto reply = intruder.Call(envelope)) {
      EXPECT_EQ(reply->push(0).code(), 0u) << reply->push(0).message();
      ++applied;
      if (applied >= 30 && refused >= 30) break;
    }
    stop = true;
    scribbler.join();
    if (applied >= 30 && refused >= 30) break;
    EXPECT_EQ(intruder.stream().End(), grpc::StatusCode::DATA_LOSS);
    ++refused;
  }
  v1::Request pull;
  *pull.add_pull() = SimpleSection(table.id(), Keys());
  const auto rows = server().Pull(pull);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(Floats(rows->pull(0).values()),
            std::vector<float>(64'000, static_cast<float>(-applied)));
  ExpectServing();
}

TEST_F(SharedMemoryTest, ARangeTooSmallForTheReplyIsNotWrittenTo) {
  Intruder client(server());
  v1::Request envelope = client.Lay(PullOfVictim(1));
  std::memset(client.memory() + 2 * kMiB - 4096, 0x5a, 4096);
  envelope.set_shm_reply_offset(2 * kMiB - 4096);
  envelope.set_shm_reply_bytes(4096);  // the rows alone are 16,000
  const double large = server().Metric("paramo_shm_large_replies_total");
  ExpectVictimPulled(client.Call(envelope));
  EXPECT_FALSE(client.shared());
  EXPECT_EQ(server().Metric("paramo_shm_large_replies_total"), large + 1);
  for (size_t i = 0; i < 4096; ++i)
    ASSERT_EQ(client.memory()[2 * kMiB - 4096 + i], 0x5a);
  ExpectUnharmed();
}

// The reply goes where its request lies: that has been copied before.
TEST_F(SharedMemoryTest, RangesMayOverlap) {
  Intruder client(server());
  v1::Request envelope = client.Lay(PullOfVictim(1));
  envelope.set_shm_reply_offset(envelope.shm_offset());
  v1::Reply reply;
  ASSERT_TRUE(client.stream().Write(envelope));
  ASSERT_TRUE(client.stream().Read(&reply));
  ASSERT_TRUE(reply.has_shm_bytes());
  ASSERT_TRUE(reply.ParseFromArray(client.memory(),
                                   static_cast<int>(reply.shm_bytes())));
  ExpectVictimPulled(reply);
  ExpectUnharmed();
}

TEST_F(SharedMemoryTest, ClientsThatVanishLeaveNoLane) {
  for (int i = 0; i < 50; ++i) {
    Intruder intruder(server());
    const v1::Request envelope = intruder.Lay(PullOfVictim(1));
    for (int more = 0; more < i % 5; ++more)
      ASSERT_TRUE(intruder.stream().Write(envelope));
    intruder.stream().Vanish();
  }
  ExpectNoLanesLeft();
  ExpectUnharmed(96 * kMiB);
}

TEST_F(SharedMemoryTest, WhoHoardsLanesLeavesOthersGrpc) {
  RawStream stream(server().address());
  std::vector<std::shared_ptr<ShmClient>> hoard;
  const double large = server().Metric("paramo_shm_large_replies_total");
  const double refused = Refused("lanes_max");
  while (auto lane = LaneOf(stream.hello())) hoard.push_back(lane);
  EXPECT_EQ(hoard.size(), kShmLanesMax);
  EXPECT_EQ(Lanes(), kShmLanesMax);
  EXPECT_EQ(Refused("lanes_max"), refused + 1);

  auto client = cluster_->Connect();
  TableSpec spec;
  spec.name = "hoarded";
  spec.dim = 64;
  auto table = client->CreateTable(spec);
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  const std::vector<uint64_t> keys = Keys();
  std::vector<float> rows(64 * keys.size(), 1);
  EXPECT_TRUE(table->Push(keys, rows).ok());
  EXPECT_EQ(client->stats().shm_bytes, 0u);
  hoard.clear();
  ExpectNoLanesLeft();
  client = cluster_->Connect();
  table = client->OpenTable("hoarded");
  EXPECT_TRUE(table->Push(keys, rows).ok());
  EXPECT_TRUE(table->Pull(keys, rows).ok());
  EXPECT_GT(client->stats().shm_bytes, 0u);
  // No reply was larger than the client had thought.
  EXPECT_EQ(server().Metric("paramo_shm_large_replies_total"), large);
}

}  // namespace
}  // namespace paramo::test
