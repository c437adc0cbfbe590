// The wire form of messages between replicas, and what else may arrive.
#include "server/replication/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace paramo {
namespace {

PeerMessage Append(std::vector<std::string> payloads) {
  PeerMessage message;
  message.shard = 3;
  message.history = 4;
  message.epoch = 5;
  message.term = 2;
  message.position = 100;
  message.position_crc = 77;
  message.committed = 99;
  message.flags = PeerMessage::kWithSum;
  message.sum_lsn = 98;
  message.sum = ~uint64_t{1};
  Lsn lsn = message.position;
  for (std::string& payload : payloads) {
    SentRecord sent;
    sent.level = Durability::kWritten;
    sent.record.payload = Rope::FromString(std::move(payload));
    sent.record.header.kind = static_cast<uint16_t>(RecordKind::kPush);
    sent.record.header.shard = 3;
    sent.record.header.lsn = ++lsn;
    SealRecord(sent.record.header, sent.record.payload.pieces());
    message.records.push_back(std::move(sent));
  }
  return message;
}

PeerMessage Ack() {
  PeerMessage message;
  message.kind = PeerMessage::Kind::kAck;
  message.flags = PeerMessage::kReady | PeerMessage::kRewind;
  message.shard = 9;
  message.position = 7;
  message.last = 8;
  message.last_crc = 6;
  return message;
}

void ExpectSame(const PeerMessage& a, const PeerMessage& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.shard, b.shard);
  EXPECT_EQ(a.history, b.history);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.term, b.term);
  EXPECT_EQ(a.position, b.position);
  EXPECT_EQ(a.position_crc, b.position_crc);
  EXPECT_EQ(a.committed, b.committed);
  EXPECT_EQ(a.last, b.last);
  EXPECT_EQ(a.last_crc, b.last_crc);
  EXPECT_EQ(a.sum_lsn, b.sum_lsn);
  EXPECT_EQ(a.sum, b.sum);
  ASSERT_EQ(a.records.size(), b.records.size());
  for (size_t i = 0; i < a.records.size(); ++i) {
    EXPECT_EQ(a.records[i].level, b.records[i].level);
    EXPECT_EQ(a.records[i].record.lsn(), b.records[i].record.lsn());
    EXPECT_EQ(a.records[i].record.payload.Flatten(),
              b.records[i].record.payload.Flatten());
  }
}

std::string Encoded() {
  const std::vector<PeerMessage> messages = {Append({"one", "", "three"}),
                                             Ack(), Append({})};
  return EncodePeerMessages(messages).Flatten();
}

TEST(PeerMessageTest, SeveralShardsAndRecordsInOneMessage) {
  const std::vector<PeerMessage> messages = {Append({"one", "", "three"}),
                                             Ack(), Append({})};
  auto decoded = DecodePeerMessages(EncodePeerMessages(messages));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->size(), 3u);
  for (size_t i = 0; i < 3; ++i) ExpectSame(messages[i], (*decoded)[i]);
}

TEST(PeerMessageTest, PayloadsAreNotCopied) {
  const std::vector<PeerMessage> messages = {Append({std::string(1000, 'x')})};
  const Rope rope = EncodePeerMessages(messages);
  const uint8_t* payload =
      messages[0].records[0].record.payload.pieces()[0].data;
  EXPECT_EQ(rope.pieces()[1].data, payload);
  auto decoded = DecodePeerMessages(rope);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ((*decoded)[0].records[0].record.payload.pieces()[0].data, payload);
}

TEST(PeerMessageTest, BytesMayComeInAnyPieces) {
  const std::string bytes = Encoded();
  for (size_t size : {1u, 3u, 7u, 64u}) {
    auto owner = std::make_shared<std::string>(bytes);
    Rope::Pieces pieces;
    for (size_t at = 0; at < bytes.size(); at += size) {
      pieces.push_back({reinterpret_cast<const uint8_t*>(owner->data()) + at,
                        std::min(size, bytes.size() - at)});
    }
    auto decoded = DecodePeerMessages(Rope(std::move(pieces), owner, 0));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ((*decoded)[0].records[2].record.payload.Flatten(), "three");
  }
}

TEST(PeerMessageTest, R3_CutShortAnywhereIsRefused) {
  const std::string bytes = Encoded();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(
        DecodePeerMessages(Rope::FromString(bytes.substr(0, size))).ok());
  }
  EXPECT_FALSE(DecodePeerMessages(Rope::FromString(bytes + "x")).ok());
}

TEST(PeerMessageTest, R3_EveryFlippedBitIsRefused) {
  const std::string bytes = Encoded();
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(DecodePeerMessages(Rope::FromString(flipped)).ok()) << bit;
  }
}

// The largest claims in few bytes: nothing may be allocated for them.
TEST(PeerMessageTest, R3_ClaimsAreNotBelieved) {
  std::string bytes(4 + 88, '\0');
  bytes[0] = 1;     // version
  bytes[2] = '\1';  // one message
  bytes[4 + 4] = 1;
  bytes[4 + 6] = '\0';
  bytes[4 + 7] = '\4';  // 1024 records
  const auto decoded = DecodePeerMessages(Rope::FromString(bytes));
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PeerMessageTest, R3_RandomBytesAreRefused) {
  std::mt19937_64 random(20251127);  // the seed
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 400, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (bytes.size() > 4) {
      bytes[0] = 1;
      bytes[1] = 0;
      bytes[3] = 0;
    }
    if (bytes.size() > 4 && bytes[2] == 0) bytes[2] = 1;
    EXPECT_FALSE(DecodePeerMessages(Rope::FromString(bytes)).ok());
  }
}

}  // namespace
}  // namespace paramo
