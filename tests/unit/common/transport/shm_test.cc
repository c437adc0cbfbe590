// Lanes of shared memory: who gets one, and what can be done to it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/wire/layout.h"
#include "common/wire/seal.h"
#include "tests/unit/common/transport/shm_testing.h"

namespace paramo {
namespace {

TEST(SharedMemoryTest, NobodyCanChangeItsSize) {
  auto memory = SharedMemory::Make(kLaneBytes);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const int fd = (*memory)->descriptor();
  EXPECT_EQ(ftruncate(fd, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd, 2 * kLaneBytes), -1);
  EXPECT_EQ(errno, EPERM);
  // Nor forbid the other side to write to it.
  EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(SharedMemoryTest, OnlySealedMemoryOfTheRightSizeIsAdopted) {
  auto memory = SharedMemory::Make(kLaneBytes);
  ASSERT_TRUE(memory.ok());
  const auto copy = [&] { return Descriptor(dup((*memory)->descriptor())); };
  EXPECT_TRUE(SharedMemory::Adopt(copy(), kLaneBytes).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      SharedMemory::Adopt(copy(), 2 * kLaneBytes).status()));
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_GROW}) {
    Descriptor other(memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(ftruncate(other.get(), kLaneBytes), 0);
    ASSERT_EQ(fcntl(other.get(), F_ADD_SEALS, seals), 0);
    EXPECT_TRUE(absl::IsFailedPrecondition(
        SharedMemory::Adopt(std::move(other), kLaneBytes).status()));
  }
}

TEST_F(ShmTest, BothSidesSeeTheSameBytes) {
  auto client = MustConnect();
  Message message;
  message.push_back(*client->Make(4, 100));
  std::memcpy(message[0].data(), "ping", 4);
  const auto block = client->Find(message);
  const wire::ShmRequest request = EnvelopeOf(*client, 0);
  const std::shared_ptr<ShmLane> lane = lanes_->Claim(request.lane);
  ASSERT_NE(lane, nullptr);
  EXPECT_EQ(std::memcmp(lane->memory->data(), "ping", 4), 0);
  // Behind the request and its seal is where its reply goes.
  std::memcpy(lane->memory->data() + 4 + wire::kSealBytes, "pong", 4);
  EXPECT_EQ(ShmBlock::Reply(block, 4).Flatten(), "pong");
}

TEST_F(ShmTest, ALaneIsOfTheStreamThatAskedFirst) {
  auto client = MustConnect();
  auto other = MustConnect();
  const uint64_t name = EnvelopeOf(*client, 0).lane;
  EXPECT_NE(name, EnvelopeOf(*other, 0).lane);
  EXPECT_NE(lanes_->Claim(name), nullptr);
  EXPECT_EQ(lanes_->Claim(name), nullptr);
  EXPECT_EQ(lanes_->Claim(name + 1), nullptr);
  EXPECT_EQ(lanes_->Claim(0), nullptr);
}

TEST_F(ShmTest, ALaneThatNobodyClaimedEndsWithItsClient) {
  auto client = MustConnect();
  const uint64_t name = EnvelopeOf(*client, 0).lane;
  EXPECT_EQ(Lanes(), 1);
  client.reset();
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
  EXPECT_EQ(lanes_->Claim(name), nullptr);
}

// What is copied from it, or written to it, is in the server's own mapping.
TEST_F(ShmTest, AClaimedLaneOutlivesItsClientAndTheServersOffer) {
  auto client = MustConnect();
  auto lane = Claim(*client);
  client.reset();
  auto next = MustConnect();  // so the end of the first has been seen
  lanes_.reset();
  lane->memory->data()[kLaneBytes - 1] = 7;
  EXPECT_EQ(Lanes(), 1);
  lane.reset();
  EXPECT_EQ(Lanes(), 0);
}

TEST_F(ShmTest, NoMoreLanesThanTheLimit) {
  auto first = MustConnect();
  auto second = MustConnect();
  EXPECT_TRUE(absl::IsUnavailable(Connect().status()));
  EXPECT_EQ(Refused("lanes_max"), 1);
  // A claimed one counts although its client is gone.
  auto lane = Claim(*first);
  first.reset();
  EXPECT_TRUE(absl::IsUnavailable(Connect().status()));
  lane.reset();
  EXPECT_TRUE(WaitUntil([&] { return Connect().ok(); }));
}

// Where nothing but the kernel's word keeps another user out.
TEST_F(ShmTest, AnotherUserGetsNoLane) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be two users";
  ASSERT_EQ(chmod(root_.c_str(), 0755), 0);
  ASSERT_EQ(chmod(directory().c_str(), 0755), 0);
  ASSERT_EQ(chmod((directory() + "/" + kLaneSocketName).c_str(), 0777), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = directory() + "/" + kLaneSocketName;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (setresuid(kNobody, kNobody, kNobody) != 0) _exit(2);
    const int to = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(to, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      _exit(3);
    char byte;
    _exit(read(to, &byte, 1) == 0 ? 0 : 4);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Refused("other_user"), 1);
  EXPECT_EQ(Lanes(), 0);
}

TEST_F(ShmTest, AClientThatSpeaksIsDisconnected) {
  auto directory_fd = OpenPrivateDirectory(directory());
  ASSERT_TRUE(directory_fd.ok());
  const sockaddr_un address = LaneSocket(*directory_fd);
  Descriptor to(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(connect(to.get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address),
            0);
  ASSERT_TRUE(WaitUntil([&] { return Lanes() == 1; }));
  ASSERT_EQ(write(to.get(), "x", 1), 1);
  EXPECT_TRUE(WaitUntil([&] { return Lanes() == 0; }));
}

TEST_F(ShmTest, AnotherServersTokenIsNotTaken) {
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ShmClient::Connect(directory(), lanes_->token() + 1).status()));
}

TEST_F(ShmTest, ADirectoryThatOthersMayEnterIsNotUsed) {
  ASSERT_EQ(chmod(directory().c_str(), 0710), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Connect().status()));
  lanes_.reset();
  ShmLanes::Options options;
  options.directory = directory();
  MetricsRegistry metrics;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(ShmLanes::Start(options, metrics).status()));
}

TEST_F(ShmTest, WhatADeadServerLeftIsReplaced) {
  const std::string socket = directory() + "/" + kLaneSocketName;
  lanes_.reset();
  EXPECT_TRUE(absl::IsNotFound(ShmClient::Connect(directory(), 1).status()));
  Descriptor left(open(socket.c_str(), O_CREAT | O_WRONLY, 0600));
  ASSERT_TRUE(left.valid());
  MetricsRegistry metrics;
  lanes_ = Start(metrics);
  EXPECT_TRUE(Connect().ok());
  lanes_.reset();
}

// A server that has stopped in the middle holds nobody up for long.
TEST_F(ShmTest, ASilentServerIsNotWaitedFor) {
  lanes_.reset();
  auto opened = OpenPrivateDirectory(directory());
  ASSERT_TRUE(opened.ok());
  const sockaddr_un address = LaneSocket(*opened);
  Descriptor silent(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address),
            0);
  ASSERT_EQ(listen(silent.get(), 1), 0);
  const absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsUnavailable(ShmClient::Connect(directory(), 1).status()));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST_F(ShmTest, BlocksDoNotOverlapAndComeBack) {
  auto client = MustConnect();
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  BitGen random(kSeed);
  std::vector<std::pair<Buffer, uint8_t>> blocks;
  for (int step = 0; step < 4'000; ++step) {
    if (random.Below(2) == 0 && !blocks.empty()) {
      std::swap(blocks[random.Below(blocks.size())], blocks.back());
      auto& [block, mark] = blocks.back();
      for (size_t i = 0; i < block.size(); ++i)
        ASSERT_EQ(block.data()[i], mark) << "step " << step;
      blocks.pop_back();
      continue;
    }
    auto block = client->Make(random.Below(20'000), random.Below(20'000));
    if (!block.has_value()) continue;
    const auto mark = static_cast<uint8_t>(step);
    std::memset(block->data(), mark, block->size());
    blocks.emplace_back(*std::move(block), mark);
  }
  EXPECT_FALSE(client->Make(kLaneBytes - wire::kSealBytes, 0).has_value());
  blocks.clear();
  EXPECT_TRUE(client->Make(kLaneBytes - wire::kSealBytes, 0).has_value());
  EXPECT_FALSE(client->Make(kLaneBytes, 0).has_value());
}

TEST_F(ShmTest, AnAnswerKeepsItsBlock) {
  auto client = MustConnect();
  const auto fits = [&] { return client->Make(kLaneBytes / 2, 0).has_value(); };
  Message message;
  message.push_back(*client->Make(10, kLaneBytes * 3 / 4));
  auto reply =
      std::make_unique<const Rope>(ShmBlock::Reply(client->Find(message), 4));
  message.clear();
  EXPECT_FALSE(fits());
  reply.reset();
  EXPECT_TRUE(fits());
}

TEST_F(ShmTest, ABlockOfAnotherLaneIsNotFound) {
  auto client = MustConnect();
  auto other = MustConnect();
  Message message;
  message.push_back(*other->Make(10, 0));
  EXPECT_EQ(client->Find(message), nullptr);
  EXPECT_NE(other->Find(message), nullptr);
  Message plain;
  plain.push_back(Buffer(10));
  EXPECT_EQ(client->Find(plain), nullptr);
  message.push_back(Buffer(10));
  EXPECT_EQ(other->Find(message), nullptr);
}

// What the server has not answered yet it may still write, into a block that
// was given back when the stream ended.
TEST_F(ShmTest, NoBlockIsMadeOnceTheStreamHasEnded) {
  auto client = MustConnect();
  auto other = client->Make(10, 0);
  Message message;
  message.push_back(*client->Make(4, 0));
  std::memcpy(message[0].data(), "kept", 4);
  client->Close();
  other.reset();
  EXPECT_FALSE(client->Make(10, 0).has_value());
  // As it was, for who has yet to send it another way.
  EXPECT_NE(client->Find(message), nullptr);
  EXPECT_EQ(std::memcmp(message[0].data(), "kept", 4), 0);
}

TEST_F(ShmTest, OnlyAWholeReplyOfTheRequestIsRead) {
  constexpr uint64_t kId = 3;
  constexpr size_t kBytes = 9;  // an id is all there is
  auto client = MustConnect();
  Message message;
  message.push_back(*client->Make(0, kBytes + wire::kSealBytes));
  const auto block = client->Find(message);
  uint8_t* const reply = message[0].data() + wire::kSealBytes;
  wire::PutFixed(reply, 1, kId);
  wire::Seal(reply, kBytes);
  const auto read = [&](uint64_t id, uint32_t bytes) {
    return ShmBlock::ReadReply(block, {id, bytes});
  };
  constexpr uint32_t kSealed = kBytes + wire::kSealBytes;
  ASSERT_TRUE(read(kId, kSealed).has_value());
  EXPECT_EQ(read(kId, kSealed)->size(), kBytes);
  EXPECT_FALSE(read(kId + 1, kSealed).has_value());
  for (const uint32_t bytes : {uint32_t{0}, uint32_t{4}, uint32_t{5},
                               kSealed - 1, kSealed + 1, UINT32_MAX})
    EXPECT_FALSE(read(kId, bytes).has_value()) << bytes;
  reply[1] ^= 1;
  EXPECT_FALSE(read(kId, kSealed).has_value());
}

}  // namespace
}  // namespace paramo
