#include "server/shard/decode.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

// n keys and n rows of dim 3, the whole cut into pieces of `piece` bytes.
struct Decoded {
  Decoded(size_t n, size_t value_bytes, size_t piece) : task(nullptr) {
    std::string bytes;
    for (Key key : KeysOf(2, n)) {
      bytes.append(reinterpret_cast<const char*>(&key), 8);
    }
    for (size_t i = 0; i < value_bytes / 4; ++i) {
      float value = static_cast<float>(i);
      bytes.append(reinterpret_cast<const char*>(&value), 4);
    }
    bytes.resize(n * 8 + value_bytes);
    auto owner = std::make_shared<std::string>(bytes);
    Rope::Pieces pieces;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      pieces.push_back({reinterpret_cast<const uint8_t*>(owner->data()) + at,
                        std::min(piece, bytes.size() - at)});
    }
    task.data = std::make_shared<RequestData>();
    task.data->rope = Rope(pieces, owner, bytes.size());
    task.data->keys.resize(n);
    task.data->rows.resize(n);
    task.keys = absl::MakeSpan(task.data->keys);
    task.rows = absl::MakeSpan(task.data->rows);
    task.section.header.shard = 2;
    task.section.header.table = kTable;
    task.section.keys = {0, n * 8};
    task.section.values = {n * 8, value_bytes};
  }
  SectionTask task;
};

TEST(DecodeTest, RowsLieInPlaceWhenTheyAreInOnePiece) {
  Decoded d(4, 4 * 12, 1000);
  ASSERT_TRUE(DecodeKeys(d.task, kShardCount).status.ok());
  ASSERT_TRUE(DecodeRows(d.task, kDim).status.ok());
  const uint8_t* data = d.task.data->rope.pieces()[0].data;
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(d.task.rows[1]), data + 32 + 12);
  EXPECT_EQ(d.task.seams, nullptr);
}

TEST(DecodeTest, OnlyRowsOnASeamAreCopied) {
  Decoded d(4, 4 * 12, 50);  // pieces of 50: the seam falls into row 1
  ASSERT_TRUE(DecodeRows(d.task, kDim).status.ok());
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(d.task.rows[1]),
            d.task.seams.get());
  EXPECT_NE(d.task.rows[0], nullptr);
  for (size_t row = 0; row < 4; ++row) {
    float values[3];
    memcpy(values, d.task.rows[row], 12);
    EXPECT_EQ(values[0], row * 3.0f) << row;
    EXPECT_EQ(values[2], row * 3.0f + 2) << row;
  }
}

TEST(DecodeTest, ARowOverManyPieces) {
  Decoded d(2, 2 * 12, 1);
  ASSERT_TRUE(DecodeRows(d.task, kDim).status.ok());
  float values[3];
  memcpy(values, d.task.rows[1], 12);
  EXPECT_EQ(values[1], 4.0f);
}

TEST(DecodeTest, RaggedBlocksAreRefused) {
  Decoded d(2, 23, 1000);
  EXPECT_EQ(DecodeRows(d.task, kDim).reason, wire::Reason::kDimensions);
  d.task.section.keys.size = 15;
  EXPECT_EQ(DecodeKeys(d.task, kShardCount).reason, wire::Reason::kKeys);
}

}  // namespace
}  // namespace paramo
