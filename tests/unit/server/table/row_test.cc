#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "server/table/row.h"
#include "server/table/row_arena.h"

namespace paramo {
namespace {

TEST(RowLayout, FollowsTheDocumentedPicture) {
  const RowLayout layout(/*dim=*/3, /*slot_floats=*/6);
  EXPECT_EQ(RowLayout::value_offset(), 32u);
  EXPECT_EQ(layout.slots_offset(), 44u);
  EXPECT_EQ(layout.record_bytes(), 68u);
  EXPECT_EQ(layout.stride(), 80u);
}

TEST(RowLayout, HeaderIsLittleEndianAtItsOffsets) {
  // The frozen format: docs/formats/row.md.
  const RowHeader header{.key = 0x0102030405060708,
                         .lsn = 0x1112131415161718,
                         .last_use = 0x21222324,
                         .count = 0x31323334,
                         .snapshot_generation = 0x41424344,
                         .step = 0x51525354};
  const uint8_t expected[32] = {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
                                0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
                                0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31,
                                0x44, 0x43, 0x42, 0x41, 0x54, 0x53, 0x52, 0x51};
  EXPECT_EQ(std::memcmp(&header, expected, sizeof(expected)), 0);
}

TEST(RowArena, AddressesStayAndDoNotOverlap) {
  for (const size_t stride : {48, 288, 65536, 786464}) {
    RowArena arena(stride);
    std::vector<std::byte*> rows;
    const size_t n = stride > 10000 ? 20 : 20000;
    for (size_t i = 0; i < n; ++i) {
      rows.push_back(arena.Append());
      std::memset(rows.back(), static_cast<int>(i % 251), stride);
    }
    for (uint32_t i = 0; i < n; ++i) {
      ASSERT_EQ(arena.Row(i), rows[i]);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(rows[i]) % 16, 0u);
      ASSERT_EQ(rows[i][0], static_cast<std::byte>(i % 251));
      ASSERT_EQ(rows[i][stride - 1], static_cast<std::byte>(i % 251));
    }
    EXPECT_GE(arena.bytes(), n * stride);
    EXPECT_LE(arena.bytes(), n * stride * 3 / 2 + (64 << 10) + stride);
  }
}

TEST(RowArena, SmallTableStaysSmall) {
  // 64 shards x a few rows: 2 MiB, not 64 large blocks.
  RowArena arena(288);
  for (int i = 0; i < 10; ++i) arena.Append();
  EXPECT_LE(arena.bytes(), size_t{32} << 10);
}

TEST(RowArena, FreedRowsAreTakenAgainTheLastFirst) {
  RowArena arena(48);
  for (uint32_t row = 0; row < 5; ++row) {
    EXPECT_EQ(arena.Take(), row);
    HeaderOf(arena.Row(row)) = {};
  }
  arena.Free(1);
  arena.Free(3);
  EXPECT_EQ(arena.rows(), 5u);
  EXPECT_EQ(arena.freed(), 2u);
  EXPECT_TRUE(arena.IsFree(1));
  EXPECT_FALSE(arena.IsFree(2));
  EXPECT_EQ(arena.Take(), 3u);
  EXPECT_EQ(arena.Take(), 1u);
  EXPECT_EQ(arena.Take(), 5u);
  EXPECT_EQ(arena.freed(), 0u);
}

}  // namespace
}  // namespace paramo
