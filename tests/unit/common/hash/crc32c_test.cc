#include "common/hash/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "common/base/random.h"

namespace paramo {
namespace {

// The definition, bit by bit: the twin that every path is compared with.
uint32_t SlowCrc32c(const uint8_t* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
  }
  return ~crc;
}

std::vector<uint8_t> RandomBytes(size_t size, uint64_t seed) {
  BitGen gen(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(gen.Next());
  return bytes;
}

// RFC 3720, appendix B.4.
TEST(Crc32c, MatchesTheVectorsOfRfc3720) {
  std::array<uint8_t, 32> bytes;
  bytes.fill(0);
  EXPECT_EQ(Crc32c(bytes.data(), 32), 0x8a9136aau);
  bytes.fill(0xff);
  EXPECT_EQ(Crc32c(bytes.data(), 32), 0x62a8ab43u);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  EXPECT_EQ(Crc32c(bytes.data(), 32), 0x46dd794eu);
  for (int i = 0; i < 32; ++i) bytes[i] = static_cast<uint8_t>(31 - i);
  EXPECT_EQ(Crc32c(bytes.data(), 32), 0x113fdb5cu);
  const uint8_t iscsi_read[48] = {
      0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
      0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
      0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(Crc32c(iscsi_read, 48), 0xd9963a56u);
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
}

TEST(Crc32c, OfNothingIsZero) { EXPECT_EQ(Crc32c(nullptr, 0), 0u); }

TEST(Crc32c, EqualsTheBitwiseTwinAtEveryPathAndAlignment) {
  const std::vector<uint8_t> bytes = RandomBytes(3 * 4096 * 2 + 1024, 1);
  // Around the plain loop, the short runs (768) and the long ones (12,288).
  for (size_t size : {1u, 7u, 8u, 9u, 63u, 255u, 767u, 768u, 769u, 1536u, 4096u,
                      12287u, 12288u, 12289u, 13056u, 24577u}) {
    for (size_t offset : {0u, 1u, 5u}) {
      EXPECT_EQ(Crc32c(bytes.data() + offset, size),
                SlowCrc32c(bytes.data() + offset, size))
          << "size " << size << " offset " << offset;
    }
  }
}

TEST(Crc32c, OfPiecesEqualsTheWhole) {
  const std::vector<uint8_t> bytes = RandomBytes(40000, 2);
  const uint32_t whole = Crc32c(bytes.data(), bytes.size());
  BitGen gen(3);
  for (int round = 0; round < 50; ++round) {
    uint32_t crc = 0;
    size_t at = 0;
    while (at < bytes.size()) {
      const size_t size = std::min<size_t>(bytes.size() - at, gen.Below(15000));
      crc = Crc32c(bytes.data() + at, size, crc);
      at += size;
    }
    EXPECT_EQ(crc, whole);
  }
}

TEST(Crc32c, EveryFlippedBitChangesIt) {
  std::vector<uint8_t> bytes = RandomBytes(1000, 4);
  const uint32_t before = Crc32c(bytes.data(), bytes.size());
  for (size_t bit = 0; bit < bytes.size() * 8; bit += 37) {
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_NE(Crc32c(bytes.data(), bytes.size()), before);
    bytes[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
}

}  // namespace
}  // namespace paramo
