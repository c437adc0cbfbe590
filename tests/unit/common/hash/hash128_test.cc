#include "common/hash/hash128.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/random.h"

namespace paramo {
namespace {

// XXH3 of the empty input, seed 0 (xxHash's own published sanity values), and
// `printf 123456789 | xxhsum -H2`.
TEST(Hash128, MatchesPublishedValues) {
  EXPECT_EQ(HashBytes64("", 0), 0x2d06800538d394c2ull);
  const Hash128 empty = HashBytes128("", 0);
  EXPECT_EQ(empty.low, 0x6001c324468d497full);
  EXPECT_EQ(empty.high, 0x99aa06d3014798d8ull);
  EXPECT_EQ(Hasher128().Digest(), empty);
}

TEST(Hash128, OfPiecesEqualsTheWhole) {
  BitGen gen(5);
  std::vector<uint8_t> bytes(9000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(gen.Next());
  for (size_t size : {0u, 1u, 16u, 17u, 128u, 129u, 240u, 241u, 1024u, 9000u}) {
    Hasher128 hasher;
    size_t at = 0;
    while (at < size) {
      const size_t piece = std::min<size_t>(size - at, 1 + gen.Below(700));
      hasher.Update(bytes.data() + at, piece);
      at += piece;
    }
    EXPECT_EQ(hasher.Digest(), HashBytes128(bytes.data(), size)) << size;
  }
}

TEST(Hash128, DigestDoesNotEndTheStream) {
  Hasher128 hasher;
  hasher.Update("abc", 3);
  EXPECT_EQ(hasher.Digest(), HashBytes128("abc", 3));
  hasher.Update("def", 3);
  EXPECT_EQ(hasher.Digest(), HashBytes128("abcdef", 6));
}

}  // namespace
}  // namespace paramo
