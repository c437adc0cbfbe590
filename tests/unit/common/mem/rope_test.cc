#include "common/mem/rope.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/mem/buffer.h"

namespace paramo {
namespace {

Rope Split(const std::string& bytes, size_t at) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto* data = reinterpret_cast<const uint8_t*>(owner->data());
  Rope::Pieces pieces;
  pieces.push_back({data, at});
  pieces.push_back({data, 0});  // empty pieces are harmless
  pieces.push_back({data + at, bytes.size() - at});
  return Rope(std::move(pieces), owner, bytes.size());
}

TEST(RopeTest, CopyCrossesSeams) {
  Rope rope = Split("abcdefgh", 3);
  char out[5] = {};
  rope.Copy(1, 4, out);
  EXPECT_STREQ(out, "bcde");
  EXPECT_EQ(rope.Flatten(), "abcdefgh");
}

TEST(RopeTest, KeepsItsBytesAlive) {
  Rope kept;
  {
    Rope rope = Rope::FromString("payload");
    kept = std::move(rope);
  }
  EXPECT_EQ(kept.Flatten(), "payload");
}

TEST(BufferTest, ReleaseGivesTheBlockAway) {
  Buffer buffer(16);
  uint8_t* block = buffer.Release();
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.data(), nullptr);
  free(block);
}

}  // namespace
}  // namespace paramo
