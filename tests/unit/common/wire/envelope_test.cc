#include "common/wire/envelope.h"

#include <gtest/gtest.h>

#include <string>

#include "paramo/v1/data.pb.h"

namespace paramo::wire {
namespace {

std::string BytesOf(const Message& message) {
  std::string bytes;
  for (const Buffer& block : message)
    bytes.append(reinterpret_cast<const char*>(block.data()), block.size());
  return bytes;
}

constexpr ShmRequest kRequest = {0, 1ull << 63, 64, 0, 4096, 1u << 31};

v1::Request ProtoRequest() {
  v1::Request proto;
  proto.set_id(77);
  proto.set_shm_lane(kRequest.lane);
  proto.set_shm_offset(kRequest.offset);
  proto.set_shm_bytes(kRequest.bytes);
  proto.set_shm_reply_offset(kRequest.reply_offset);
  proto.set_shm_reply_bytes(kRequest.reply_bytes);
  return proto;
}

TEST(Envelope, IsWhatGeneratedCodeWrites) {
  ShmRequest request = kRequest;
  request.id = 77;
  const std::string bytes = BytesOf(WriteShmRequest(request));
  EXPECT_EQ(bytes, ProtoRequest().SerializeAsString());
  v1::Reply reply;
  reply.set_id(78);
  reply.set_shm_bytes(0);
  EXPECT_EQ(BytesOf(WriteShmReply({78, 0})), reply.SerializeAsString());
}

TEST(Envelope, IsReadAsItWasWritten) {
  const auto read =
      ReadShmRequest(Rope::FromString(ProtoRequest().SerializeAsString()));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->id, 77u);
  EXPECT_EQ(read->lane, kRequest.lane);
  EXPECT_EQ(read->offset, kRequest.offset);
  EXPECT_EQ(read->bytes, kRequest.bytes);
  EXPECT_EQ(read->reply_offset, kRequest.reply_offset);
  EXPECT_EQ(read->reply_bytes, kRequest.reply_bytes);
  const auto reply =
      ReadShmReply(Rope::FromString(BytesOf(WriteShmReply({78, 9}))));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id, 78u);
  EXPECT_EQ(reply->bytes, 9u);
}

// An old peer's, or anybody's ordinary message, must never pass for one.
TEST(Envelope, NothingElseIsReadAsOne) {
  const std::string exact = ProtoRequest().SerializeAsString();
  for (size_t size = 0; size < exact.size(); ++size)
    EXPECT_FALSE(ReadShmRequest(Rope::FromString(exact.substr(0, size))));
  EXPECT_FALSE(ReadShmRequest(Rope::FromString(exact + exact)));
  v1::Request more = ProtoRequest();
  more.set_deadline_ms(1);
  EXPECT_FALSE(ReadShmRequest(Rope::FromString(more.SerializeAsString())));
  // As long, with another field in the place of the last.
  v1::Request other = ProtoRequest();
  other.clear_shm_reply_bytes();
  other.set_deadline_ms(1);
  ASSERT_EQ(other.ByteSizeLong(), exact.size());
  EXPECT_FALSE(ReadShmRequest(Rope::FromString(other.SerializeAsString())));
  v1::Reply reply;
  reply.set_id(1);
  reply.set_code(5);
  ASSERT_EQ(reply.ByteSizeLong(), BytesOf(WriteShmReply({1, 5})).size());
  EXPECT_FALSE(ReadShmReply(Rope::FromString(reply.SerializeAsString())));
}

}  // namespace
}  // namespace paramo::wire
