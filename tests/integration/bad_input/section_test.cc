// Sections that name keys, tables and sizes that are wrong (K1, K2, K3), and
// values in codecs (W5). Each once as a simple client sends it, for the server
// to split, and once with a shard, as the C++ client does.
#include <cstring>
#include <limits>
#include <thread>

#include "common/base/limits.h"
#include "common/routing/routing.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

constexpr uint32_t kShards = 64;
constexpr uint64_t kLastKey = std::numeric_limits<uint64_t>::max();

class SectionTest : public BadInputTest {
 protected:
  // The same section with the shard of key 1.
  static v1::Section OnShard(v1::Section section) {
    section.set_shard(ShardOf(section.table(), 1, kShards));
    return section;
  }
  void ExpectBothPushesRefused(const v1::Section& section, Code code,
                               v1::Reason reason) {
    ExpectPushRefused(section, code, reason);
    ExpectPushRefused(OnShard(section), code, reason);
  }
  void ExpectBothPullsRefused(const v1::Section& section, Code code,
                              v1::Reason reason) {
    ExpectPullRefused(section, code, reason);
    ExpectPullRefused(OnShard(section), code, reason);
  }
};

// ---- K1: keys ---------------------------------------------------------------

TEST_F(SectionTest, K1_EmptyKeyListIsRefused) {
  ExpectBothPushesRefused(SimpleSection(victim_.id(), {}),
                          Code::kInvalidArgument, v1::REASON_KEYS);
  ExpectBothPullsRefused(SimpleSection(victim_.id(), {}),
                         Code::kInvalidArgument, v1::REASON_KEYS);
  ExpectUnharmed();
}

TEST_F(SectionTest, K1_MoreKeysThanAllowedAreTooLarge) {
  v1::Request request;
  request.add_pull()->set_table(victim_.id());
  request.mutable_pull(0)->set_keys(std::string((kKeysMax + 1) * 8, '\0'));
  ExpectCallRefused("Pull", request.SerializeAsString(),
                    Code::kResourceExhausted, v1::REASON_TOO_LARGE);
  // Spread over two sections they are as many.
  request.mutable_pull(0)->set_keys(std::string(kKeysMax / 2 * 8, '\0'));
  *request.add_pull() = request.pull(0);
  *request.add_pull() = SimpleSection(victim_.id(), {1});
  ExpectCallRefused("Pull", request.SerializeAsString(),
                    Code::kResourceExhausted, v1::REASON_TOO_LARGE);
  // A message of 32 MiB, which the generated parser copies thrice.
  ExpectUnharmed(8 * kKeysMax * 8);
}

TEST_F(SectionTest, K1_DuplicateKeysInOnePushAreSummedInOrder) {
  const v1::Table table = Create(CountingTable("duplicates", 1));
  // In this order the sum is 1; in others the large ones swallow it.
  v1::Request request;
  *request.add_push() =
      SimpleSection(table.id(), {5, 5, 5, 5}, {1e8f, -1e8f, 0.5f, 0.5f});
  *request.add_pull() = SimpleSection(table.id(), {5, 5});
  auto reply = server().PushPull(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->push(0).code(), 0u) << reply->push(0).message();
  EXPECT_EQ(Floats(reply->pull(0).values()), (std::vector<float>{-1, -1}));
  EXPECT_EQ(cluster_->Checksum(table.id()).first, 1u);
  ExpectServing();
}

TEST_F(SectionTest, K1_NoKeyIsReserved) {
  const v1::Table table = Create(CountingTable("extremes", 1));
  v1::Request request;
  *request.add_push() =
      SimpleSection(table.id(), {0, kLastKey, kLastKey - 1}, {1, 2, 3});
  *request.add_pull() = SimpleSection(table.id(), {kLastKey - 1, kLastKey, 0});
  auto reply = server().PushPull(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->push(0).code(), 0u) << reply->push(0).message();
  EXPECT_EQ(Floats(reply->pull(0).values()), (std::vector<float>{-3, -2, -1}));
  ExpectServing();
}

TEST_F(SectionTest, K1_KeyOfAnotherShardIsRefused) {
  uint64_t other = 2;
  while (ShardOf(victim_.id(), other, kShards) ==
         ShardOf(victim_.id(), 1, kShards)) {
    ++other;
  }
  ExpectPushRefused(
      OnShard(SimpleSection(victim_.id(), {1, other}, std::vector<float>(8))),
      Code::kInvalidArgument, v1::REASON_KEYS);
  ExpectPullRefused(OnShard(SimpleSection(victim_.id(), {1, other})),
                    Code::kInvalidArgument, v1::REASON_KEYS);
  ExpectUnharmed();
}

TEST_F(SectionTest, K1_ShardThatDoesNotExistIsRefused) {
  for (const uint32_t shard : {kShards, 4096u, 0xffffffffu}) {
    v1::Section section = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
    section.set_shard(shard);
    ExpectPushRefused(section, Code::kInvalidArgument, v1::REASON_WRONG_SHARD);
    section.clear_values();
    ExpectPullRefused(section, Code::kInvalidArgument, v1::REASON_WRONG_SHARD);
  }
  ExpectUnharmed();
}

TEST_F(SectionTest, K1_OtherEpochOrHistoryIsAborted) {
  for (const uint64_t wrong : {uint64_t{999}, kLastKey}) {
    v1::Section section =
        OnShard(SimpleSection(victim_.id(), {1}, {1, 1, 1, 1}));
    section.set_epoch(wrong);
    ExpectPushRefused(section, Code::kAborted, v1::REASON_WRONG_EPOCH);
    section.clear_epoch();
    section.set_history(wrong);
    ExpectPushRefused(section, Code::kAborted, v1::REASON_WRONG_HISTORY);
  }
  ExpectUnharmed();
}

// ---- K2: tables -------------------------------------------------------------

TEST_F(SectionTest, K2_UnknownTableIsNotFound) {
  for (const uint32_t table : {0u, 999u, 0xffffffffu}) {
    ExpectBothPushesRefused(SimpleSection(table, {1}, {1, 1, 1, 1}),
                            Code::kNotFound, v1::REASON_UNKNOWN_TABLE);
    ExpectBothPullsRefused(SimpleSection(table, {1}), Code::kNotFound,
                           v1::REASON_UNKNOWN_TABLE);
  }
  v1::Section nameless;  // no table field at all
  nameless.set_keys(std::string(8, '\0'));
  ExpectPullRefused(nameless, Code::kNotFound, v1::REASON_UNKNOWN_TABLE);
  EXPECT_EQ(server().Checksum(999).status().code(), Code::kNotFound);
  ExpectUnharmed();
}

TEST_F(SectionTest, K2_TableDroppedInMidFlightIsNotFoundFromThenOn) {
  const v1::Table table = Create(CountingTable("falling", 4));
  int answered = 0;
  bool gone = false;
  std::thread pusher([&] {
    v1::Request request;
    *request.add_push() = SimpleSection(table.id(), {1, 2, 3, 4, 5, 6, 7, 8},
                                        std::vector<float>(32, 1));
    while (!gone && answered < 100000) {
      auto reply = server().Push(request);
      ASSERT_TRUE(reply.ok()) << reply.status();
      const uint32_t code = reply->push(0).code();
      gone = code == static_cast<uint32_t>(Code::kNotFound);
      ASSERT_TRUE(gone || code == 0) << reply->push(0).message();
      ++answered;
    }
  });
  EXPECT_TRUE(WaitUntil([&] { return cluster_->LsnSum() > 1000; }));
  const absl::Status dropped = coordinator().DropTable("falling");
  EXPECT_TRUE(dropped.ok()) << dropped;
  pusher.join();
  EXPECT_TRUE(gone);
  ExpectBothPushesRefused(SimpleSection(table.id(), {1}, {1, 1, 1, 1}),
                          Code::kNotFound, v1::REASON_UNKNOWN_TABLE);
  EXPECT_EQ(coordinator().DropTable("falling").code(), Code::kNotFound);
  ExpectServing();
}

TEST_F(SectionTest, K2_UnknownRuleIsRefusedAtCreation) {
  v1::TableSpec spec = CountingTable("ruleless", 4);
  spec.mutable_rule()->set_name("magic");
  const absl::Status status = coordinator().CreateTable(spec).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("magic"));
  ExpectUnharmed();
}

// ---- K3: sizes --------------------------------------------------------------

TEST_F(SectionTest, K3_KeyBlockThatIsNoMultipleOfEightIsRefused) {
  for (const size_t bytes : {1u, 7u, 9u, 8001u}) {
    v1::Section section;
    section.set_table(victim_.id());
    section.set_keys(std::string(bytes, '\1'));
    ExpectBothPullsRefused(section, Code::kInvalidArgument, v1::REASON_KEYS);
    section.set_values(std::string(16, '\0'));
    ExpectBothPushesRefused(section, Code::kInvalidArgument, v1::REASON_KEYS);
  }
  ExpectUnharmed();
}

TEST_F(SectionTest, K3_ValueBlockOfAnotherSizeIsRefused) {
  v1::Section section = SimpleSection(victim_.id(), {1});
  for (const size_t bytes : {0u, 1u, 4u, 12u, 15u, 17u, 20u, 32u, 1u << 20}) {
    section.set_values(std::string(bytes, '\0'));
    ExpectBothPushesRefused(section, Code::kInvalidArgument,
                            v1::REASON_DIMENSIONS);
  }
  ExpectUnharmed();
}

TEST_F(SectionTest, K3_UnknownCodecIsRefused) {
  v1::Section section = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  for (const uint32_t codec : {200u, 0xffffffffu}) {
    section.set_codec(codec);
    ExpectBothPushesRefused(section, Code::kInvalidArgument, v1::REASON_CODEC);
  }
  ExpectUnharmed();
}

// ---- W5: values that claim to be more than they are
// --------------------------

TEST_F(SectionTest, W5_PullsInAnUnknownCodecAreRefused) {
  v1::Section section = SimpleSection(victim_.id(), {1});
  for (const uint32_t codec : {4u, 200u, 0xffffffffu}) {
    section.set_codec(codec);
    ExpectBothPullsRefused(section, Code::kInvalidArgument, v1::REASON_CODEC);
  }
  ExpectUnharmed();
}

TEST_F(SectionTest, W5_BlocksThatTheKeysDoNotMakeAreRefusedInEveryCodec) {
  for (const uint32_t codec : {1u, 2u, 3u}) {
    v1::Section section = SimpleSection(victim_.id(), {1});
    section.set_codec(codec);
    for (const size_t bytes : {0u, 1u, 7u, 9u, 16u, 1u << 20}) {
      section.set_values(std::string(bytes, '\0'));
      ExpectBothPushesRefused(section, Code::kInvalidArgument,
                              v1::REASON_DIMENSIONS);
    }
    // Half a million keys, and values for one less.
    v1::Section many;
    many.set_table(victim_.id());
    many.set_codec(codec);
    many.set_keys(std::string(size_t{8} << 19, '\0'));
    many.set_values(std::string((size_t{8} << 19) - 8, '\0'));
    ExpectPushRefused(many, Code::kInvalidArgument, v1::REASON_DIMENSIONS);
  }
  // Its keys are a list that may come again: 4 MiB.
  ExpectUnharmed(64 * kMiB);
}

TEST_F(SectionTest, W5_ScalesThatNoEncoderMakesAreRefused) {
  const auto row = [](float scale, uint8_t step) {
    std::string bytes(8, static_cast<char>(step));
    std::memcpy(bytes.data(), &scale, sizeof(scale));
    return bytes;
  };
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kMax = std::numeric_limits<float>::max();
  v1::Section section = SimpleSection(victim_.id(), {1});
  section.set_codec(v1::CODEC_INT8);
  for (const float scale : {kInf, -kInf, -1.0f, -0.0f, kMax, 1e-40f}) {
    section.set_values(row(scale, 1));
    ExpectBothPushesRefused(section, Code::kInvalidArgument, v1::REASON_CODEC);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float scale : {0.0f, nan}) {
    section.set_values(row(scale, 1));  // steps under no scale
    ExpectBothPushesRefused(section, Code::kInvalidArgument, v1::REASON_CODEC);
  }
  section.set_values(row(nan, 0));  // a row that was not finite
  ExpectBothPushesRefused(section, Code::kInvalidArgument,
                          v1::REASON_NON_FINITE);
  ExpectUnharmed();
}

TEST_F(SectionTest, W5_HalvesThatAreNotFiniteAreRefused) {
  v1::Section section = SimpleSection(victim_.id(), {1});
  for (const uint32_t codec : {1u, 2u}) {
    section.set_codec(codec);
    for (const uint16_t half :
         {uint16_t{0x7c00}, uint16_t{0x7f80}, uint16_t{0xfff0}}) {
      if (codec == 2 && half == 0x7c00) continue;  // finite there
      std::string values(8, '\0');
      std::memcpy(values.data() + 4, &half, 2);
      section.set_values(values);
      ExpectBothPushesRefused(section, Code::kInvalidArgument,
                              v1::REASON_NON_FINITE);
    }
  }
  ExpectUnharmed();
}

TEST_F(SectionTest, K3_DimensionsOutOfRangeOrOverflowingAreRefused) {
  for (const uint32_t dim : {0u, 65537u, 0xffffffffu}) {
    const absl::Status status =
        coordinator().CreateTable(CountingTable("wrong", dim)).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << dim;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("dim"));
  }
  v1::TableSpec spec = CountingTable("wrong", 1024);
  for (const std::vector<uint64_t>& shape : std::vector<std::vector<uint64_t>>{
           {0}, {4, 0}, {1ull << 33, 1ull << 33}, {kLastKey, 2}, {kLastKey}}) {
    spec.mutable_tensor()->mutable_shape()->Assign(shape.begin(), shape.end());
    EXPECT_EQ(coordinator().CreateTable(spec).status().code(),
              Code::kInvalidArgument);
  }
  spec.mutable_tensor()->mutable_shape()->Resize(1000000, 1);
  EXPECT_EQ(coordinator().CreateTable(spec).status().code(),
            Code::kInvalidArgument);
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
