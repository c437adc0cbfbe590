// A push in a codec is the push of what it decodes to.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "tests/unit/server/table/table_test_util.h"

namespace paramo {
namespace {

constexpr uint32_t kDim = 11;
constexpr uint64_t kSeed = 77;

// The rows of a push as `codec` writes them, and as they are read again.
struct Encoded {
  Encoded(const Codec& codec, const TestPush& push) : decoded(push) {
    const size_t row_bytes = codec.row_bytes(kDim);
    bytes.resize(push.rows.size() * row_bytes);
    for (size_t i = 0; i < push.rows.size(); ++i) {
      uint8_t* row = bytes.data() + i * row_bytes;
      codec.encode(push.rows[i].data(), kDim, i, row);
      codec.decode(row, kDim, decoded.rows[i].data());
      rows.push_back(reinterpret_cast<const float*>(row));
    }
  }
  TestPush decoded;
  std::vector<uint8_t> bytes;
  std::vector<const float*> rows;
};

TestPush RandomPush(BitGen& gen, size_t n, uint64_t keys, uint64_t rare) {
  TestPush push;
  for (size_t i = 0; i < n; ++i) {
    push.keys.push_back(gen.Below(keys));
    push.rows.emplace_back();
    for (uint32_t j = 0; j < kDim; ++j) {
      const bool strange = rare != 0 && gen.Below(rare) == 0;
      push.rows.back().push_back(strange
                                     ? std::numeric_limits<float>::infinity()
                                     : static_cast<float>(gen.Uniform() - 0.5));
    }
  }
  return push;
}

class TableCodec : public testing::TestWithParam<std::string> {
 protected:
  const Codec& codec_ = **FindCodec(absl::string_view(GetParam()));
};

TEST_P(TableCodec, RowsAreThoseOfDecodedGradients) {
  BitGen gen(kSeed);
  for (const NonFinitePolicy policy :
       {NonFinitePolicy::kSkipRow, NonFinitePolicy::kClip}) {
    TableConfig config = MakeConfig(kDim, "adagrad");
    config.policy = policy;
    config.clip = 2;
    TableShard table(config, 0), twin(config, 0);
    // More than a batch, fewer, with duplicates and (nearly) without.
    for (const uint64_t keys : {40ull, 1000ull, 1ull << 60}) {
      for (const size_t n : {1, 127, 128, 129, 700}) {
        const TestPush push = RandomPush(gen, n, keys, /*rare=*/200);
        const Encoded encoded(codec_, push);
        const Lsn lsn = table.newest_lsn() + 1;
        const ApplyResult result = table.Apply(push.keys, encoded.rows.data(),
                                               {.lsn = lsn, .codec = &codec_});
        const ApplyResult wanted = Apply(twin, encoded.decoded, lsn);
        EXPECT_EQ(result.rows_updated, wanted.rows_updated);
        EXPECT_EQ(result.rows_skipped, wanted.rows_skipped);
        ASSERT_EQ(Records(table), Records(twin)) << n << " of " << keys;
      }
    }
    EXPECT_EQ(table.rolling_checksum(), twin.rolling_checksum());
  }
}

TEST_P(TableCodec, TheFirstRowThatIsNotFiniteIsNamed) {
  BitGen gen(kSeed);
  TableShard table(MakeConfig(kDim), 0);
  TestPush push = RandomPush(gen, 5, 1ull << 60, /*rare=*/0);
  push.rows[3][10] = std::numeric_limits<float>::quiet_NaN();
  const Encoded encoded(codec_, push);
  const absl::Status refused =
      table.CheckFinite(push.keys, encoded.rows.data(), false, false, codec_);
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr(absl::StrCat("key ", push.keys[3])));
}

TEST_P(TableCodec, PullsAreTheValuesEncodedMissingOnesToo) {
  BitGen gen(kSeed);
  TableConfig config = MakeConfig(kDim, "sgd");
  config.initializer = {.kind = Initializer::Kind::kNormal, .a = 1};
  TableShard table(config, 0);
  Apply(table, RandomPush(gen, 300, 400, 0), 1);
  std::vector<Key> keys;
  for (Key key = 0; key < 500; ++key) keys.push_back(key);
  const std::vector<float> values = Pull(table, keys);
  const size_t row_bytes = codec_.row_bytes(kDim);
  std::vector<uint8_t> wanted(keys.size() * row_bytes), out(wanted);
  std::vector<uint8_t> scattered(wanted);
  std::vector<uint8_t*> outs;
  for (size_t i = 0; i < keys.size(); ++i) {
    codec_.encode(values.data() + i * kDim, kDim, 0,
                  wanted.data() + i * row_bytes);
    outs.push_back(scattered.data() + i * row_bytes);
  }
  table.Gather(keys, out.data(), codec_);
  table.Gather(keys, outs.data(), codec_);
  EXPECT_EQ(out, wanted);
  EXPECT_EQ(scattered, wanted);
}

INSTANTIATE_TEST_SUITE_P(EveryCodec, TableCodec, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Codec& codec : ListCodecs()) {
                             names.push_back(codec.name);
                           }
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace paramo
