// Bytes that are not a Request, or an odd one (W3): what is not protobuf is
// refused and counted, what is protobuf means what protobuf says it means.
#include "absl/strings/escaping.h"
#include "common/base/limits.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

class MessageTest : public BadInputTest {};

// A varint, as protobuf writes it.
std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes += static_cast<char>(value | 0x80);
  }
  return bytes + static_cast<char>(value);
}

std::string Tag(int field, int wire_type) {
  return Varint(static_cast<uint64_t>(field) << 3 | wire_type);
}
std::string Bytes(int field, const std::string& value) {
  return Tag(field, 2) + Varint(value.size()) + value;
}

constexpr int kPullField = 7, kPushField = 6, kTableField = 10, kKeysField = 20;

// The pulled values of the only section of `reply`, or why there are none.
std::string Pulled(const absl::StatusOr<std::string>& reply) {
  v1::Reply parsed;
  if (!reply.ok()) return std::string(reply.status().message());
  if (!parsed.ParseFromString(*reply) || parsed.pull_size() != 1) return "?";
  return parsed.pull(0).code() == 0 ? parsed.pull(0).values()
                                    : parsed.pull(0).message();
}

std::string Minus(int n) {
  const std::vector<float> row(4, static_cast<float>(-n));
  return std::string(reinterpret_cast<const char*>(row.data()), 16);
}

TEST_F(MessageTest, W3_BytesThatAreNoRequestAreMalformed) {
  const std::string section =
      SimpleSection(victim_.id(), {1}).SerializeAsString();
  const std::string good = Bytes(kPullField, section);
  for (const std::string& bytes : {
           std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11),
           std::string(101, 'x'), good.substr(0, good.size() - 1),  // cut short
           Tag(kPullField, 2) + Varint(1ull << 62),  // longer than it is
           Tag(kPullField, 2) + Varint(0xffffffffull) + section,
           good + Tag(4, 4),       // an end of no group
           Tag(1, 6),              // wire type 6
           Tag(0, 0) + Varint(1),  // field 0
       }) {
    SCOPED_TRACE(absl::CHexEscape(bytes));
    ExpectCallRefused("Pull", bytes, Code::kInvalidArgument,
                      v1::REASON_MALFORMED);
  }
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_DeepNestingIsMalformed) {
  // Groups of an unknown field, each within the last: 100,000 deep.
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += Tag(1000, 3);
  for (int i = 0; i < 100000; ++i) deep += Tag(1000, 4);
  ExpectCallRefused("Pull", deep, Code::kInvalidArgument, v1::REASON_MALFORMED);
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_UnknownFieldsAreSkipped) {
  const double odd = server().Metric("paramo_requests_not_canonical_total");
  const std::string unknown = Bytes(1000, "from the future") + Tag(1001, 0) +
                              Varint(7) + Tag(1002, 5) + "abcd";
  const std::string section =
      SimpleSection(victim_.id(), {1}).SerializeAsString();
  EXPECT_EQ(Pulled(server().Raw(
                "/paramo.v1.Data/Pull",
                unknown + Bytes(kPullField, unknown + section + unknown))),
            Minus(1));
  EXPECT_EQ(server().Metric("paramo_requests_not_canonical_total"), odd + 1);
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_WrongWireTypeCountsAsAbsent) {
  // `keys` as a varint is an unknown field: a section without keys.
  const std::string section =
      Tag(kTableField, 5) +
      std::string(reinterpret_cast<const char*>("\x01\x00\x00\x00"), 4) +
      Tag(kKeysField, 0) + Varint(5);
  EXPECT_THAT(
      Pulled(server().Raw("/paramo.v1.Data/Pull", Bytes(kPullField, section))),
      ::testing::HasSubstr("no keys"));
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_OfDuplicateSingularFieldsTheLastCounts) {
  std::string section = SimpleSection(good_.id(), {1, 2}).SerializeAsString() +
                        SimpleSection(victim_.id(), {1}).SerializeAsString();
  EXPECT_EQ(
      Pulled(server().Raw("/paramo.v1.Data/Pull", Bytes(kPullField, section))),
      Minus(1));
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_MoreSectionsThanAllowedAreTooLarge) {
  const std::string section =
      Bytes(kPullField, SimpleSection(victim_.id(), {1}).SerializeAsString());
  std::string many;
  for (size_t i = 0; i < kSectionsMax; ++i) many += section;
  auto reply = server().Raw("/paramo.v1.Data/Pull", many);
  EXPECT_TRUE(reply.ok()) << reply.status();
  ExpectCallRefused("Pull", many + section, Code::kResourceExhausted,
                    v1::REASON_TOO_LARGE);
  // A million empty ones take 2 bytes each.
  std::string empty;
  for (int i = 0; i < 1000000; ++i) empty += Bytes(kPushField, "");
  ExpectCallRefused("Push", empty, Code::kResourceExhausted,
                    v1::REASON_TOO_LARGE);
  ExpectUnharmed(64 * kMiB);
}

TEST_F(MessageTest, W3_PushTakesNoPullAndPullNoPush) {
  v1::Request pull;
  *pull.add_pull() = SimpleSection(victim_.id(), {1});
  ExpectCallRefused("Push", pull.SerializeAsString(), Code::kInvalidArgument,
                    v1::REASON_UNSUPPORTED);
  v1::Request push;
  *push.add_push() = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  ExpectCallRefused("Pull", push.SerializeAsString(), Code::kInvalidArgument,
                    v1::REASON_UNSUPPORTED);
  ExpectUnharmed();
}

TEST_F(MessageTest, W3_AnAnswerThatNoMessageHoldsIsTooLarge) {
  const v1::Table wide = Create(CountingTable("wide", 65536));
  SetUp();  // the new table is a record of its own
  v1::Request request;
  // 1000 rows of 256 KiB.
  *request.add_pull() =
      SimpleSection(wide.id(), std::vector<uint64_t>(1000, 3));
  ExpectCallRefused("Pull", request.SerializeAsString(),
                    Code::kResourceExhausted, v1::REASON_TOO_LARGE);
  ExpectUnharmed();
}

TEST_F(MessageTest, W6_WrongChecksumIsDataLossAndConsumesNothing) {
  v1::Section section = SimpleSection(victim_.id(), {1}, {1, 1, 1, 1});
  section.set_crc32c(0x12345678);
  ExpectPushRefused(section, Code::kDataLoss, v1::REASON_CHECKSUM);
  v1::Section pull = SimpleSection(victim_.id(), {1});
  pull.set_crc32c(0x12345678);
  ExpectPullRefused(pull, Code::kDataLoss, v1::REASON_CHECKSUM);
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
