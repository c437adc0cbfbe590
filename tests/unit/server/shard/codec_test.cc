// Pushes and pulls in every codec: logged as they came, applied as what they
// decode to.
#include <gmock/gmock.h>

#include <cmath>

#include "common/base/random.h"
#include "server/shard/push_record.h"
#include "tests/unit/server/shard/shard_harness.h"

namespace paramo {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using wire::Outcome;
using wire::Reason;

class CodecTest : public ::testing::TestWithParam<std::string> {
 protected:
  wire::SectionHeader Header(SeqNo seq = 0) const {
    wire::SectionHeader header = h_.Header();
    header.codec = codec_.id;
    if (seq == 0) return header;
    header.session = 9;
    header.session_epoch = 1;
    header.seq = seq;
    return header;
  }
  std::vector<uint8_t> Encode(const std::vector<float>& rows,
                              uint64_t seed = 0) const {
    std::vector<uint8_t> bytes;
    for (size_t at = 0; at < rows.size(); at += kDim) {
      bytes.resize(bytes.size() + codec_.row_bytes(kDim));
      codec_.encode(rows.data() + at, kDim, seed,
                    bytes.data() + bytes.size() - codec_.row_bytes(kDim));
    }
    return bytes;
  }
  std::vector<float> Decode(const std::vector<uint8_t>& bytes) const {
    std::vector<float> rows;
    for (size_t at = 0; at < bytes.size(); at += codec_.row_bytes(kDim)) {
      rows.resize(rows.size() + kDim);
      codec_.decode(bytes.data() + at, kDim, rows.data() + rows.size() - kDim);
    }
    return rows;
  }
  std::vector<float> Random(size_t rows) {
    std::vector<float> values(rows * kDim);
    for (float& value : values)
      value = static_cast<float>(gen_.Uniform() - 0.5);
    return values;
  }
  // Of the shard's log: the newest push.
  const Record& LastPush() {
    const auto& log = h_.port().log();
    for (auto it = log.rbegin();; ++it) {
      if (it->kind() == RecordKind::kPush) return *it;
    }
  }

  const Codec& codec_ = **FindCodec(absl::string_view(GetParam()));
  ShardHarness h_;
  std::vector<Key> keys_ = KeysOf(2, 40);
  BitGen gen_{5};
};

INSTANTIATE_TEST_SUITE_P(EveryCodec, CodecTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Codec& codec : ListCodecs())
                             names.push_back(codec.name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

TEST_P(CodecTest, APushIsAppliedAsWhatItDecodesToHoweverItIsCut) {
  ShardHarness twin;  // gets the same in f32
  twin.Apply();
  h_.Apply();
  SeqNo seq = 0;
  for (const size_t piece : {0, 1, 7, 64}) {
    const std::vector<uint8_t> bytes = Encode(Random(40), gen_.Next() | 1);
    const auto push = h_.PushEncoded(Header(++seq), keys_, bytes, piece);
    ASSERT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
    twin.Push(twin.Header(), keys_, Decode(bytes));
  }
  for (const Key key : keys_) EXPECT_EQ(h_.Row(key), twin.Row(key)) << key;
}

TEST_P(CodecTest, TheLogHasTheBytesThatCame) {
  h_.Apply();
  const std::vector<uint8_t> bytes = Encode(Random(40), 3);
  h_.PushEncoded(Header(1), keys_, bytes, /*piece=*/33);
  const Rope& payload = LastPush().payload;
  const auto section = wire::ParseSection(payload);
  ASSERT_TRUE(section.ok());
  EXPECT_EQ(section->header.codec, codec_.id);
  std::vector<uint8_t> logged(section->values.size);
  payload.Copy(section->values.offset, section->values.size, logged.data());
  EXPECT_EQ(logged, bytes);
}

// A backup, and a server that starts, have nothing but records.
TEST_P(CodecTest, ReplayedRecordsGiveTheSameRows) {
  h_.Apply();
  for (SeqNo seq = 1; seq <= 20; ++seq) {
    const std::vector<float> rows = Random(40);
    h_.PushEncoded(Header(seq), keys_, Encode(rows, CodecSeed(9, seq, 1)));
  }
  ShardHarness replica;
  Shard::Stored stored;
  stored.log = h_.port().log();
  stored.promise = {3, 3, 1};
  ASSERT_TRUE(replica.shard().Restore(std::move(stored)).ok());
  replica.NextTerm();
  replica.Apply();
  EXPECT_EQ(replica.shard().table(kTable)->Checksum(),
            h_.shard().table(kTable)->Checksum());
  // And so it knows a retry.
  wire::SectionHeader header = Header(20);
  header.epoch = replica.Header().epoch;
  const auto retry = replica.PushEncoded(header, keys_, Encode(Random(40)));
  EXPECT_EQ(retry->reason(), Reason::kSeqMismatch);
}

TEST_P(CodecTest, DuplicateKeysAreAppliedAsTheirSum) {
  h_.Apply();
  const std::vector<float> row = {127, -64, 0};  // exact in each
  h_.PushEncoded(
      Header(), {keys_[0], keys_[1], keys_[0], keys_[0]},
      Encode({127, -64, 0, 127, 127, 127, 127, -64, 0, 127, -64, 0}));
  EXPECT_THAT(h_.Row(keys_[0]), ::testing::ElementsAre(-381, 192, 0));
  EXPECT_THAT(h_.Row(keys_[1]), Each(-127));
}

TEST_P(CodecTest, APullIsWhatTheRowsEncodeTo) {
  h_.Apply();
  const std::vector<float> rows = Random(20);
  h_.Push(h_.Header(), std::vector<Key>(keys_.begin(), keys_.begin() + 20),
          rows);
  const auto exact = h_.Pull(h_.Header(), keys_);
  const auto pull = h_.Pull(Header(), keys_);  // missing ones too
  EXPECT_EQ(pull->code(), absl::StatusCode::kOk) << pull->reply.message;
  EXPECT_EQ(pull->reply.header.codec, codec_.id);
  const std::vector<uint8_t> wanted = Encode(exact->rows_out);
  if (codec_.in_place) {
    EXPECT_EQ(pull->rows_out, exact->rows_out);
  } else {
    EXPECT_EQ(pull->encoded_out, wanted);
  }
}

TEST_P(CodecTest, PoliciesOnNaNAndInfinitySeeWhatIsDecoded) {
  h_.Apply();
  std::vector<float> rows = Random(3);
  rows[4] = INFINITY;
  const std::vector<Key> keys(keys_.begin(), keys_.begin() + 3);
  const auto refused = h_.PushEncoded(Header(1), keys, Encode(rows, 7));
  EXPECT_EQ(refused->reason(), Reason::kNonFinite);
  EXPECT_THAT(h_.Row(keys[0]), Each(0));
  h_.SetTable([](v1::TableSpec& spec) {
    spec.mutable_non_finite()->set_policy(v1::NonFinite::SKIP_ROW);
  });
  h_.Apply();
  const auto taken = h_.PushEncoded(Header(2), keys, Encode(rows, 7));
  EXPECT_EQ(taken->code(), absl::StatusCode::kOk) << taken->reply.message;
  EXPECT_EQ(taken->reply.header.rows_skipped, 1u);
  EXPECT_NE(h_.Row(keys[0])[0], 0);
  EXPECT_THAT(h_.Row(keys[1]), Each(0));
}

TEST_P(CodecTest, BlocksOfAnotherSizeAreRefusedAndCostOneNumber) {
  h_.Apply();
  const std::vector<uint8_t> bytes = Encode(Random(2));
  for (const size_t size : {bytes.size() - 1, bytes.size() + 1, size_t{0}}) {
    const std::vector<uint8_t> wrong(size, 1);
    const auto push = h_.PushEncoded(Header(), {keys_[0], keys_[1]}, wrong);
    EXPECT_EQ(push->reason(), Reason::kDimensions);
    EXPECT_THAT(push->reply.message, HasSubstr(codec_.name));
  }
  // As of any final refusal: the session goes on behind it.
  const auto refused = h_.PushEncoded(Header(1), {keys_[0]}, bytes);
  EXPECT_EQ(refused->reason(), Reason::kDimensions);
  EXPECT_EQ(h_.PushEncoded(Header(2), {keys_[0], keys_[1]}, bytes)->code(),
            absl::StatusCode::kOk);
}

// First values, and pulled values behind each gradient.
TEST_P(CodecTest, FirstAndPulledValuesAreDecodedToo) {
  h_.SetTable([](v1::TableSpec& spec) { spec.set_delay_compensation(1); });
  h_.Apply();
  wire::SectionHeader initial = Header();
  initial.flags = wire::kFlagInitial;
  h_.PushEncoded(initial, {keys_[0]}, Encode({8, 127, 64}));
  EXPECT_THAT(h_.Row(keys_[0]), ::testing::ElementsAre(8, 127, 64));
  // g = 2 + 1 x 2 x 2 x (8 - 6) = 10 in the first element; others are 0.
  wire::SectionHeader pulled = Header();
  pulled.flags = wire::kFlagWithPulled;
  const auto push =
      h_.PushEncoded(pulled, {keys_[0]}, Encode({2, 0, 0, 6, 127, 64}));
  EXPECT_EQ(push->code(), absl::StatusCode::kOk) << push->reply.message;
  EXPECT_THAT(h_.Row(keys_[0]), ::testing::ElementsAre(-2, 127, 64));
}

class CodecRoundTest : public CodecTest {
 protected:
  CodecRoundTest() {
    rounds_.Join(0, 100);
    rounds_.Join(1, 101);
  }
  wire::SectionHeader Step(SessionId session) const {
    wire::SectionHeader header = rounds_.Header();
    header.codec = codec_.id;
    header.session = session;
    header.session_epoch = 1;
    header.seq = 1;
    header.flags = wire::kFlagEndOfClock;
    return header;
  }
  ShardHarness rounds_{SyncKind::kBsp};
};

INSTANTIATE_TEST_SUITE_P(EveryCodec, CodecRoundTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Codec& codec : ListCodecs())
                             names.push_back(codec.name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

// A round takes contributions in different codecs, and keeps them over a
// restart.
TEST_P(CodecRoundTest, AMeanIsOfWhatContributionsDecodeTo) {
  const auto first =
      rounds_.PushEncoded(Step(100), {keys_[0]}, Encode({127, 64, 0}));
  EXPECT_EQ(first->outcome(), Outcome::kAccumulated) << first->reply.message;
  rounds_.Restart();
  wire::SectionHeader plain = Step(101);
  plain.codec = kCodecF32;
  rounds_.Push(plain, {keys_[0]}, {3, 0, 2});
  EXPECT_THAT(rounds_.Row(keys_[0]), ::testing::ElementsAre(-65, -32, -1));
}

TEST(UnknownCodecTest, IsRefusedWithThoseThereAre) {
  ShardHarness h;
  h.Apply();
  wire::SectionHeader header = h.Header();
  header.session = 9;
  header.session_epoch = 1;
  header.seq = 1;
  header.codec = 4;
  const Key key = KeysOf(2, 1)[0];
  const auto push = h.Push(header, {key}, {1, 1, 1});
  EXPECT_EQ(push->code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push->reason(), Reason::kCodec);
  EXPECT_THAT(push->reply.message, HasSubstr("bf16 (2)"));
  header.codec = 0;
  header.seq = 2;
  EXPECT_EQ(h.Push(header, {key}, {1, 1, 1})->code(), absl::StatusCode::kOk);
}

TEST(Int8PushTest, BytesThatAreNoRowAreRefusedWhateverThePolicy) {
  ShardHarness h;
  h.SetTable([](v1::TableSpec& spec) {
    spec.mutable_non_finite()->set_policy(v1::NonFinite::SKIP_ROW);
  });
  h.Apply();
  wire::SectionHeader header = h.Header();
  header.codec = (*FindCodec("int8"))->id;
  const std::vector<Key> keys = KeysOf(2, 2);
  for (const float scale : {-1.0f, INFINITY, -INFINITY, 1e-40f, -0.0f}) {
    std::vector<uint8_t> bytes(14, 0);
    memcpy(bytes.data() + 7, &scale, 4);
    const auto push = h.PushEncoded(header, keys, bytes, /*piece=*/5);
    EXPECT_EQ(push->code(), absl::StatusCode::kInvalidArgument) << scale;
    EXPECT_EQ(push->reason(), Reason::kCodec);
    EXPECT_THAT(push->reply.message, HasSubstr(absl::StrCat(keys[1])));
  }
  EXPECT_EQ(h.shard().Report().rows, 0u);
}

}  // namespace
}  // namespace paramo
