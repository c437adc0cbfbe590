#include "common/wire/seal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "common/hash/crc32c.h"
#include "paramo/v1/data.pb.h"

namespace paramo::wire {
namespace {

Buffer BufferOf(const std::string& bytes) {
  Buffer buffer(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return buffer;
}

std::string Sealed(const std::string& first, const std::string& second) {
  Message message;
  message.push_back(BufferOf(first));
  message.push_back(BufferOf(second));
  Seal(message);
  std::string bytes;
  for (const Buffer& block : message) {
    bytes.append(reinterpret_cast<const char*>(block.data()), block.size());
  }
  return bytes;
}

// In pieces of so many bytes.
Rope Cut(const std::string& bytes, size_t piece) {
  auto owner = std::make_shared<const std::string>(bytes);
  Rope::Pieces pieces;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    pieces.push_back({reinterpret_cast<const uint8_t*>(owner->data()) + at,
                      std::min(piece, bytes.size() - at)});
  }
  return Rope(std::move(pieces), owner, bytes.size());
}

TEST(SealTest, AnIntactOneIsTakenOffHoweverTheMessageIsCut) {
  const std::string bytes = Sealed("some bytes", " and more");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    Rope message = Cut(bytes, piece);
    EXPECT_EQ(TakeSeal(message), SealState::kIntact) << piece;
    EXPECT_EQ(message.Flatten(), "some bytes and more") << piece;
  }
}

TEST(SealTest, EveryFlippedBitIsFound) {
  const std::string bytes = Sealed("some bytes", "");
  const size_t tag = bytes.size() - kSealBytes;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] ^= static_cast<char>(1 << bit);
      Rope message = Rope::FromString(damaged);
      // What is in front of a damaged tag is whole.
      EXPECT_EQ(TakeSeal(message),
                at == tag ? SealState::kNone : SealState::kBroken)
          << at << ", " << bit;
    }
  }
}

TEST(SealTest, OtherMessagesAreLeftAsTheyAre) {
  for (const char* bytes : {"", "1234", "something else"}) {
    Rope message = Rope::FromString(bytes);
    EXPECT_EQ(TakeSeal(message), SealState::kNone);
    EXPECT_EQ(message.Flatten(), bytes);
  }
}

// The bytes of an unsealed message are anything.
TEST(SealTest, AFieldThatEndsLikeASealIsNone) {
  const uint32_t like_a_seal = 15 << 3 | 5;
  v1::Request request;
  auto* section = request.add_push();
  section->set_values(std::string(100, static_cast<char>(like_a_seal)));
  v1::Reply reply;
  reply.set_message(std::string("ab") + static_cast<char>(like_a_seal) +
                    "cdef");
  const std::string sections = request.SerializeAsString();
  for (const std::string& bytes : {sections, reply.SerializeAsString()}) {
    Rope message = Rope::FromString(bytes);
    EXPECT_EQ(TakeSeal(message), SealState::kNone);
    EXPECT_EQ(message.Flatten(), bytes);
  }
  // Sealed, and damaged: not even its last values pass for unsealed.
  const std::string sealed = Sealed(sections, "");
  for (size_t at = sections.size() - 20; at < sections.size(); ++at) {
    std::string damaged = sealed;
    damaged[at] ^= 1;
    Rope message = Rope::FromString(damaged);
    EXPECT_EQ(TakeSeal(message), SealState::kBroken) << at;
  }
}

TEST(SealTest, GeneratedCodeSeesAField) {
  v1::Reply reply;
  reply.set_id(7);
  const std::string bytes = reply.SerializeAsString();
  v1::Reply sealed;
  ASSERT_TRUE(sealed.ParseFromString(Sealed(bytes, "")));
  EXPECT_EQ(sealed.id(), 7u);
  EXPECT_EQ(sealed.crc32c(), Crc32c(bytes.data(), bytes.size()));
}

}  // namespace
}  // namespace paramo::wire
