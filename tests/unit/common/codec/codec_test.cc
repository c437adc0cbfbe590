#include "common/codec/codec.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paramo {
namespace {

using ::testing::HasSubstr;

TEST(FindCodec, FindsEachByIdAndName) {
  std::set<uint32_t> ids;
  for (const Codec& codec : ListCodecs()) {
    EXPECT_EQ(*FindCodec(codec.id), &codec);
    EXPECT_EQ(*FindCodec(absl::string_view(codec.name)), &codec);
    EXPECT_TRUE(ids.insert(codec.id).second) << codec.name;
  }
  EXPECT_EQ(F32().id, kCodecF32);
}

TEST(FindCodec, SaysWhatThereIs) {
  for (const auto& found : {FindCodec(99u), FindCodec("zip")}) {
    EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(found.status().message()),
                HasSubstr("use one of f32 (0), f16 (1), bf16 (2), int8 (3)"));
  }
}

TEST(FindCodec, HostileNamesArePrintable) {
  const auto found = FindCodec(absl::string_view("\n\0%s", 4));
  EXPECT_THAT(std::string(found.status().message()),
              testing::Not(HasSubstr("\n")));
}

// A retry is the same bytes: formats rest on these.
TEST(CodecSeed, IsAlwaysTheSame) {
  EXPECT_EQ(CodecSeed(0, 0, 0), CodecSeed(0, 0, 0));
  std::set<uint64_t> seeds;
  for (uint64_t session = 0; session < 10; ++session) {
    for (uint64_t seq = 0; seq < 10; ++seq) {
      for (uint64_t key = 0; key < 10; ++key) {
        seeds.insert(CodecSeed(session, seq, key));
      }
    }
  }
  EXPECT_EQ(seeds.size(), 1000u);
  EXPECT_EQ(seeds.count(0), 0u);
}

}  // namespace
}  // namespace paramo
