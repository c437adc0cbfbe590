#include "common/wire/reply.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "paramo/v1/data.pb.h"

namespace paramo::wire {
namespace {

std::string Bytes(const Message& message) {
  std::string bytes;
  for (const Buffer& buffer : message) {
    bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
  }
  return bytes;
}

SectionReply Answered(uint32_t shard, uint64_t lsn) {
  SectionReply reply;
  reply.header.shard = shard;
  reply.header.lsn = lsn;
  return reply;
}

SectionReply Failed(uint32_t code, const std::string& message) {
  SectionReply reply;
  reply.header.code = code;
  reply.message = message;
  return reply;
}

std::string Values(const ReplyView& view, size_t pull) {
  std::string values(view.pull[pull].values.size, '\0');
  view.rope.Copy(view.pull[pull].values.offset, values.size(), values.data());
  return values;
}

TEST(ReplyTest, AnsweredPullsLieInOneBlockAndAreCanonical) {
  ReplyWriter writer(9, 4, 1, std::vector<size_t>{8, 300});
  memset(writer.values(0), 'a', 8);
  memset(writer.values(1), 'b', 300);
  std::vector<SectionReply> push = {Answered(1, 5)};
  std::vector<SectionReply> pull = {Answered(2, 6), Answered(3, 7)};
  Message message = writer.Take(absl::MakeSpan(push), absl::MakeSpan(pull));
  EXPECT_EQ(message.size(), 1u);
  std::string bytes = Bytes(message);

  v1::Reply proto;
  ASSERT_TRUE(proto.ParseFromString(bytes));
  EXPECT_EQ(proto.SerializeAsString(), bytes);
  EXPECT_EQ(proto.pull(1).values(), std::string(300, 'b'));

  Rope rope = Rope::FromString(bytes);
  EXPECT_EQ(PeekId(rope), 9u);
  auto view = ParseReply(std::move(rope));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->state_version, 4u);
  EXPECT_EQ(view->push[0].header.lsn, 5u);
  EXPECT_EQ(Values(*view, 0), std::string(8, 'a'));
  EXPECT_EQ(Values(*view, 1), std::string(300, 'b'));
  EXPECT_TRUE(CheckCrc(view->rope, view->pull[1]).ok());
}

TEST(ReplyTest, HowLongAPullWaitedComesLast) {
  ReplyWriter writer(9, 4, 0, std::vector<size_t>{8});
  memset(writer.values(0), 'a', 8);
  std::vector<SectionReply> pull = {Answered(2, 6)};
  const std::string bytes =
      Bytes(writer.Take({}, absl::MakeSpan(pull), /*parked_us=*/70'000));
  v1::Reply proto;
  ASSERT_TRUE(proto.ParseFromString(bytes));
  EXPECT_EQ(proto.SerializeAsString(), bytes);
  auto view = ParseReply(Rope::FromString(bytes));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->parked_us, 70'000u);
  EXPECT_EQ(Values(*view, 0), std::string(8, 'a'));
}

TEST(ReplyTest, FailedPullsLeaveTheirSpaceOut) {
  ReplyWriter writer(9, 0, 1, std::vector<size_t>{1000, 4});
  memset(writer.values(0), 'x', 1000);
  memset(writer.values(1), 'y', 4);
  std::vector<SectionReply> push = {Failed(3, "bad push")};
  std::vector<SectionReply> pull = {Failed(5, "no table"), Answered(3, 7)};
  pull[0].redirects.push_back({12, "host:1"});
  std::string bytes =
      Bytes(writer.Take(absl::MakeSpan(push), absl::MakeSpan(pull)));
  EXPECT_LT(bytes.size(), 500u);
  v1::Reply proto;
  ASSERT_TRUE(proto.ParseFromString(bytes));
  EXPECT_EQ(proto.SerializeAsString(), bytes);
  EXPECT_EQ(proto.push(0).message(), "bad push");
  EXPECT_EQ(proto.pull(0).redirects(0).address(), "host:1");
  EXPECT_FALSE(proto.pull(0).has_values());

  auto view = ParseReply(Rope::FromString(bytes));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->pull[0].message, "no table");
  EXPECT_EQ(view->pull[0].redirects[0].shard, 12u);
  EXPECT_EQ(Values(*view, 1), "yyyy");
  EXPECT_TRUE(CheckCrc(view->rope, view->pull[1]).ok());
}

TEST(ReplyTest, DamagedRowsAreFound) {
  ReplyWriter writer(1, 0, 0, std::vector<size_t>{64});
  memset(writer.values(0), 'v', 64);
  std::vector<SectionReply> pull = {Answered(0, 1)};
  std::string bytes = Bytes(writer.Take({}, absl::MakeSpan(pull)));
  bytes[bytes.size() - 10] ^= 1;
  auto view = ParseReply(Rope::FromString(bytes));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(CheckCrc(view->rope, view->pull[0]).code(),
            absl::StatusCode::kDataLoss);
}

TEST(ReplyTest, RefusalOfTheWholeRequest) {
  Message message =
      WriteReply(5, 8, Reason::kOverloaded, 3, "try later", nullptr);
  auto view = ParseReply(Rope::FromString(Bytes(message)));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->id, 5u);
  EXPECT_EQ(view->code, 8u);
  EXPECT_EQ(view->reason, static_cast<uint32_t>(Reason::kOverloaded));
  EXPECT_EQ(view->message, "try later");
}

// Three bytes a redirect, thirty times that as an object.
TEST(ReplyTest, RefusesTooManyRedirects) {
  const auto parse = [](size_t redirects) {
    std::string section;
    for (size_t i = 0; i < redirects; ++i) {
      section += std::string("\x9a\x01\0", 3);
    }
    v1::Reply reply;
    reply.add_push();
    reply.add_push();
    EXPECT_TRUE(reply.mutable_push(0)->ParseFromString(section));
    EXPECT_TRUE(reply.mutable_push(1)->ParseFromString(section));
    return ParseReply(Rope::FromString(reply.SerializeAsString()));
  };
  auto most = parse(kRedirectsMax / 2);
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_EQ(most->push[1].redirects.size(), kRedirectsMax / 2);
  EXPECT_EQ(parse(kRedirectsMax / 2 + 1).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(ReplyTest, MessageOfARefusalIsCutAtTheLimit) {
  Message message = WriteReply(5, 8, Reason::kOverloaded, 3,
                               std::string(kErrorBytesMax + 1, 'x'), nullptr);
  auto view = ParseReply(Rope::FromString(Bytes(message)));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->message, std::string(kErrorBytesMax, 'x'));
}

}  // namespace
}  // namespace paramo::wire
