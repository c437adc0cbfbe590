#include "common/transport/byte_buffer.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"

namespace paramo {
namespace {

Buffer BufferOf(const std::string& text) {
  Buffer buffer(text.size());
  std::memcpy(buffer.data(), text.data(), text.size());
  return buffer;
}

TEST(ToByteBuffer, SendsTheBlocksThemselves) {
  Message message;
  message.push_back(BufferOf(std::string(5000, 'a')));
  message.push_back(Buffer(0));
  message.push_back(BufferOf("end"));
  const uint8_t* first = message[0].data();
  grpc::ByteBuffer bytes = ToByteBuffer(std::move(message));
  EXPECT_EQ(bytes.Length(), 5003u);

  const Rope rope = ToRope(bytes);
  ASSERT_EQ(rope.pieces().size(), 2u);
  EXPECT_EQ(rope.pieces()[0].data, first);  // not a copy
  EXPECT_EQ(rope.Flatten(), absl::StrCat(std::string(5000, 'a'), "end"));
}

TEST(ToRope, EmptyAndInvalidBuffersAreEmptyRopes) {
  grpc::ByteBuffer invalid;
  EXPECT_EQ(ToRope(invalid).size(), 0u);
  grpc::ByteBuffer empty = ToByteBuffer({});
  const Rope rope = ToRope(empty);
  EXPECT_EQ(rope.size(), 0u);
  EXPECT_EQ(rope.pinned_bytes(), 0u);
}

TEST(ToRope, BytesOutliveTheByteBuffer) {
  Rope rope;
  {
    grpc::Slice slice(std::string(100'000, 'x'));
    grpc::ByteBuffer bytes(&slice, 1);
    rope = ToRope(bytes);
    EXPECT_FALSE(bytes.Valid());
  }
  EXPECT_EQ(rope.Flatten(), std::string(100'000, 'x'));
}

TEST(ToRope, SmallPieceOfABlockPinsTheWholeBlock) {
  grpc::Slice block{std::string(kReadBlockBytes, 'c')};
  grpc::Slice push = block.sub(1000, 1064);
  grpc::ByteBuffer bytes(&push, 1);
  const Rope rope = ToRope(bytes);
  EXPECT_EQ(rope.size(), 64u);
  EXPECT_EQ(rope.pinned_bytes(), kReadBlockBytes);
}

TEST(ToRope, PiecesOfOneBlockCountItOnce) {
  const grpc::Slice block{std::string(4096, 'c')};
  const grpc::Slice other{std::string(4096, 'd')};
  std::vector<grpc::Slice> slices = {block.sub(0, 100), other.sub(0, 100),
                                     block.sub(200, 300)};
  grpc::ByteBuffer bytes(slices.data(), slices.size());
  EXPECT_EQ(ToRope(bytes).pinned_bytes(), 2 * kReadBlockBytes);
}

TEST(ToRope, LargeBlockCountsItsOwnBytes) {
  grpc::Slice big{std::string(3 * kReadBlockBytes, 'b')};
  grpc::ByteBuffer bytes(&big, 1);
  EXPECT_EQ(ToRope(bytes).pinned_bytes(), 3 * kReadBlockBytes);
}

TEST(ToRope, InlinedBytesPinOnlyTheirSlice) {
  grpc::Slice tiny{std::string("tiny")};
  grpc::ByteBuffer bytes(&tiny, 1);
  const Rope rope = ToRope(bytes);
  EXPECT_EQ(rope.Flatten(), "tiny");
  EXPECT_LT(rope.pinned_bytes(), 64u);
}

}  // namespace
}  // namespace paramo
