#include "client/core/wire_request.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>
#include <vector>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/hash/hash128.h"
#include "common/routing/routing.h"
#include "common/wire/request.h"
#include "tests/unit/client/core/calls.h"

namespace paramo::client {
namespace {

constexpr uint32_t kShards = 8;

// Every parcel of the call in one request, as Delivery would make it.
Outgoing AllOf(const std::shared_ptr<Call>& call) {
  Outgoing out;
  out.call = call;
  out.timeout = absl::Seconds(3);
  for (uint32_t i = 0; i < call->parcels.size(); ++i) {
    wire::SectionHeader header;
    header.shard = call->parcels[i].shard;
    if (call->parcels[i].part != Parcel::kNoPart) {
      header.table = call->parts[call->parcels[i].part].handle->info.id;
    }
    out.sections.push_back({i, header});
  }
  return out;
}

Rope ToRope(const Message& message) {
  std::string bytes;
  for (const Buffer& buffer : message) {
    bytes.append(reinterpret_cast<const char*>(buffer.data()), buffer.size());
  }
  return Rope::FromString(std::move(bytes));
}

// Cuts a rope into pieces of at most `size`, as they come from a socket.
Rope InPieces(const Rope& rope, size_t size) {
  auto bytes = std::make_shared<std::string>(rope.Flatten());
  Rope::Pieces pieces;
  for (size_t at = 0; at < bytes->size(); at += size) {
    pieces.push_back({reinterpret_cast<const uint8_t*>(bytes->data()) + at,
                      std::min(size, bytes->size() - at)});
  }
  return Rope(std::move(pieces), bytes, bytes->size());
}

// What a server says that takes hashes of key lists.
wire::Hello Takes() {
  wire::Hello hello;
  hello.key_lists = true;
  return hello;
}

Claimed ClaimAll(const std::shared_ptr<Call>& call) {
  Claimed claimed;
  claimed.call = call;
  claimed.parcels.resize(call->parcels.size());
  std::iota(claimed.parcels.begin(), claimed.parcels.end(), 0u);
  claimed.wanted.assign(call->parcels.size(), true);
  return claimed;
}

wire::RequestView Parse(const Outgoing& out, SentLists& sent) {
  auto view = wire::ParseRequest(ToRope(WriteRequest(
      out, 77, 99, sent, [](size_t bytes) { return Buffer(bytes); })));
  EXPECT_TRUE(view.ok()) << view.status();
  return *std::move(view);
}

wire::RequestView Parse(const Outgoing& out) {
  SentLists nothing;
  return Parse(out, nothing);
}

std::vector<uint64_t> KeysOf(const wire::RequestView& view,
                             const wire::SectionView& section) {
  std::vector<uint64_t> keys(section.keys.size / 8);
  view.rope.Copy(section.keys.offset, section.keys.size, keys.data());
  return keys;
}

std::vector<float> ValuesOf(const wire::RequestView& view,
                            const wire::SectionView& section) {
  std::vector<float> values(section.values.size / 4);
  view.rope.Copy(section.values.offset, section.values.size, values.data());
  return values;
}

TEST(WriteRequest, SumsDuplicatesAndSendsEachKeyOnceToItsShard) {
  BitGen gen(31);
  const uint32_t dim = 3;
  std::vector<uint64_t> keys(200);
  for (uint64_t& key : keys) key = gen.Below(90);
  std::vector<float> grads(keys.size() * dim);
  for (float& grad : grads) grad = static_cast<float>(gen.Below(1000));
  std::map<uint64_t, std::vector<float>> sums;
  for (size_t i = 0; i < keys.size(); ++i) {
    auto& sum = sums[keys[i]];
    sum.resize(dim);
    for (uint32_t d = 0; d < dim; ++d) sum[d] += grads[i * dim + d];
  }

  auto call = MakeCall({PushOf(MakeHandle(4, dim), keys, grads, kShards)},
                       nullptr, {}, absl::Seconds(1), kShards);
  const wire::RequestView view = Parse(AllOf(call));
  EXPECT_TRUE(view.canonical);
  EXPECT_EQ(view.id, 77u);
  EXPECT_EQ(view.cluster, 99u);
  EXPECT_EQ(view.deadline_ms, 3000u);
  std::map<uint64_t, std::vector<float>> sent;
  for (const wire::SectionView& section : view.push) {
    EXPECT_TRUE(wire::CheckCrc(view.rope, section).ok());
    const std::vector<uint64_t> section_keys = KeysOf(view, section);
    const std::vector<float> values = ValuesOf(view, section);
    ASSERT_EQ(values.size(), section_keys.size() * dim);
    for (size_t i = 0; i < section_keys.size(); ++i) {
      EXPECT_EQ(ShardOf(4, section_keys[i], kShards), section.header.shard);
      const bool fresh =
          sent.emplace(section_keys[i],
                       std::vector<float>(values.begin() + i * dim,
                                          values.begin() + (i + 1) * dim))
              .second;
      EXPECT_TRUE(fresh) << "key sent twice";
    }
  }
  EXPECT_EQ(sent, sums);
}

TEST(WriteRequest, GivesTheSamePayloadAgainOnARetry) {
  const std::vector<uint64_t> keys = {5, 1, 5, 3, 5};
  const std::vector<float> grads = {0.1f, 2, 1e8f, 3, -1e8f};
  auto call = MakeCall({PushOf(MakeHandle(1, 1), keys, grads, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  const wire::RequestView first = Parse(AllOf(call));
  const wire::RequestView second = Parse(AllOf(call));
  EXPECT_EQ(first.push[0].header.payload_hash_low,
            second.push[0].header.payload_hash_low);
  EXPECT_EQ(first.push[0].header.payload_hash_high,
            second.push[0].header.payload_hash_high);
  // Summed in the order given: (0.1 + 1e8) - 1e8 is 0 in f32, not 0.1.
  EXPECT_EQ(ValuesOf(first, first.push[0]), (std::vector<float>{2, 3, 0}));
}

TEST(WriteRequest, SendsTheHashOfAListThatItSentBefore) {
  std::vector<uint64_t> keys(kKeyListKeysMin);
  std::iota(keys.begin(), keys.end(), 7);
  std::vector<float> rows(keys.size());
  const std::vector<float> grads(keys.size(), 1);
  const auto handle = MakeHandle(1, 1);
  auto pull = MakeCall({PullOf(handle, keys, rows, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  auto push = MakeCall({PushOf(handle, keys, grads, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  SentLists sent;
  sent.OnHello(Takes());
  const wire::RequestView pulled = Parse(AllOf(pull), sent);
  EXPECT_EQ(KeysOf(pulled, pulled.pull[0]), keys);

  const wire::RequestView pushed = Parse(AllOf(push), sent);
  EXPECT_TRUE(pushed.canonical);
  ASSERT_TRUE(pushed.push[0].list.has_value());
  EXPECT_EQ(pushed.push[0].list->count, keys.size());
  EXPECT_EQ(pushed.push[0].list->hash,
            HashBytes128(keys.data(), keys.size() * 8));
  EXPECT_EQ(ValuesOf(pushed, pushed.push[0]), grads);

  // Sent again it has them, and is the same push.
  Outgoing out = AllOf(push);
  out.sections[0].again = true;
  const wire::RequestView again = Parse(out, sent);
  EXPECT_EQ(KeysOf(again, again.push[0]), keys);
  EXPECT_EQ(again.push[0].header.crc32c, pushed.push[0].header.crc32c);
  EXPECT_EQ(again.push[0].header.payload_hash_low,
            pushed.push[0].header.payload_hash_low);
}

TEST(WriteRequest, SendsShortListsWhole) {
  std::vector<uint64_t> keys(kKeyListKeysMin - 1);
  std::iota(keys.begin(), keys.end(), 7);
  std::vector<float> rows(keys.size());
  auto call = MakeCall({PullOf(MakeHandle(1, 1), keys, rows, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  SentLists sent;
  sent.OnHello(Takes());
  for (int i = 0; i < 2; ++i) {
    const wire::RequestView view = Parse(AllOf(call), sent);
    EXPECT_EQ(KeysOf(view, view.pull[0]), keys);
  }
}

TEST(WriteRequest, PadsTheLastBlockOfATensorWithZeros) {
  const auto handle = MakeTensorHandle(2, 4, 6, 1);
  const std::vector<float> grads = {1, 2, 3, 4, 5, 6};
  Part part;
  part.handle = handle;
  part.grads = grads;
  part.split = handle->blocks;
  auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
  const wire::RequestView view = Parse(AllOf(call));
  ASSERT_EQ(view.push.size(), 1u);
  EXPECT_EQ(KeysOf(view, view.push[0]), (std::vector<uint64_t>{0, 1}));
  EXPECT_EQ(ValuesOf(view, view.push[0]),
            (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
}

TEST(WriteRequest, PutsPulledValuesBehindEachGradient) {
  const std::vector<uint64_t> keys = {5, 1, 5};
  const std::vector<float> grads = {1, 2, 3, 4, 5, 6};
  const std::vector<float> pulled = {10, 20, 30, 40, 50, 60};
  Part part = PushOf(MakeHandle(1, 2), keys, grads, 1);
  part.pulled = pulled;
  auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
  const wire::RequestView view = Parse(AllOf(call));
  EXPECT_EQ(KeysOf(view, view.push[0]), (std::vector<uint64_t>{1, 5}));
  // Gradients of 5 are summed; of its pulled rows the first is sent.
  EXPECT_EQ(ValuesOf(view, view.push[0]),
            (std::vector<float>{3, 4, 30, 40, 6, 8, 10, 20}));
}

class EveryCodec : public testing::TestWithParam<std::string> {
 protected:
  const Codec& codec_ = **FindCodec(absl::string_view(GetParam()));
};
INSTANTIATE_TEST_SUITE_P(All, EveryCodec, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Codec& codec : ListCodecs()) {
                             names.push_back(codec.name);
                           }
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

// Sums of duplicates are encoded, with the seed of session, number and key; of
// a tensor's last row what is beyond its end is zero.
TEST_P(EveryCodec, WritesEachKeysSum) {
  constexpr uint32_t kDim = 5;
  const std::vector<uint64_t> keys = {5, 9, 5};
  const std::vector<float> grads = {1.5f, 2, -3, 4,   0.1f, 7, 7, 7,
                                    7,    7, 0,  .3f, 3,    1, 2};
  Part part = PushOf(MakeHandle(1, kDim), keys, grads, 1);
  part.codec = &codec_;
  auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
  Outgoing out = AllOf(call);
  out.sections[0].header.session = 3;
  out.sections[0].header.seq = 8;
  const wire::RequestView view = Parse(out);
  const float sums[2][kDim] = {{1.5f, 2 + .3f, 0, 5, 0.1f + 2},
                               {7, 7, 7, 7, 7}};
  std::vector<uint8_t> wanted(2 * codec_.row_bytes(kDim)), sent(wanted);
  codec_.encode(sums[0], kDim, CodecSeed(3, 8, 5), wanted.data());
  codec_.encode(sums[1], kDim, CodecSeed(3, 8, 9),
                wanted.data() + codec_.row_bytes(kDim));
  ASSERT_EQ(view.push[0].values.size, wanted.size());
  view.rope.Copy(view.push[0].values.offset, sent.size(), sent.data());
  EXPECT_EQ(sent, wanted);
}

// What the server knows a retry by.
TEST_P(EveryCodec, ARetryHasTheSamePayload) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  const std::vector<float> grads = {.1f, .2f, .3f, .4f, .5f, .6f};
  Part part = PushOf(MakeHandle(1, 2), keys, grads, 1);
  part.codec = &codec_;
  auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
  const auto hash_of = [&](SeqNo seq, Epoch epoch) {
    Outgoing out = AllOf(call);
    out.sections[0].header.seq = seq;
    out.sections[0].header.epoch = epoch;
    return Parse(out).push[0].header.payload_hash_low;
  };
  EXPECT_EQ(hash_of(1, 1), hash_of(1, 2));
}

TEST_P(EveryCodec, ReadsRowsWholeAndCutAtATensorsEnd) {
  constexpr uint32_t kDim = 7;
  for (size_t piece : {1u, 13u, 100000u}) {
    std::vector<float> rows(3 * kDim - 2, -1);
    Part part;
    part.is_pull = true;
    part.handle = MakeTensorHandle(1, kDim, rows.size(), 1);
    part.split = part.handle->blocks;
    part.rows = rows;
    part.codec = &codec_;
    auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
    const std::vector<size_t> sizes = {3 * codec_.row_bytes(kDim)};
    wire::ReplyWriter writer(1, 1, 0, sizes);
    for (uint32_t i = 0; i < 3; ++i) {
      const std::vector<float> row(kDim, static_cast<float>(i + 1));
      codec_.encode(row.data(), kDim, 0,
                    writer.values(0) + i * codec_.row_bytes(kDim));
    }
    std::vector<wire::SectionReply> pushes, pulls(1);
    pulls[0].header.codec = codec_.id;
    auto view = wire::ParseReply(InPieces(
        ToRope(writer.Take(absl::MakeSpan(pushes), absl::MakeSpan(pulls))),
        piece));
    ASSERT_TRUE(view.ok()) << view.status();
    const auto results = ReadReply(*view, ClaimAll(call));
    EXPECT_EQ(results[0].header.code, 0u) << results[0].message;
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i], static_cast<float>(i / kDim + 1)) << i;
    }
  }
}

TEST_P(EveryCodec, RefusesAnAnswerInAnother) {
  const std::vector<uint64_t> keys = {1};
  std::vector<float> rows(4, -1);
  Part part = PullOf(MakeHandle(1, 4), keys, rows, 1);
  part.codec = &codec_;
  auto call = MakeCall({part}, nullptr, {}, absl::Seconds(1), 1);
  const std::vector<size_t> sizes = {codec_.row_bytes(4)};
  wire::ReplyWriter writer(1, 1, 0, sizes);
  std::memset(writer.values(0), 0, sizes[0]);
  std::vector<wire::SectionReply> pushes, pulls(1);
  pulls[0].header.codec = codec_.id + 1;
  auto view = wire::ParseReply(
      ToRope(writer.Take(absl::MakeSpan(pushes), absl::MakeSpan(pulls))));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(ReadReply(*view, ClaimAll(call))[0].header.code,
            static_cast<uint32_t>(absl::StatusCode::kInternal));
  EXPECT_EQ(rows, std::vector<float>(4, -1));
}

TEST(WriteRequest, WritesAnEndOfClockWithoutRows) {
  auto call = MakeCall({}, nullptr, {}, absl::Seconds(1), 4, true);
  call->is_push = true;
  const wire::RequestView view = Parse(AllOf(call));
  ASSERT_EQ(view.push.size(), 4u);
  for (const wire::SectionView& section : view.push) {
    EXPECT_EQ(section.keys.size, 0u);
    EXPECT_EQ(section.values.size, 0u);
    EXPECT_TRUE(wire::CheckCrc(view.rope, section).ok());
  }
}

// ---- Replies ----------------------------------------------------------------

// A reply in which the row of key k is (k, k, ...), written by the server's
// own writer.
std::string ReplyTo(const Call& call, uint32_t dim) {
  std::vector<size_t> sizes;
  for (const Parcel& parcel : call.parcels) {
    sizes.push_back((parcel.end - parcel.begin) * dim * 4);
  }
  wire::ReplyWriter writer(1, 1, 0, sizes);
  std::vector<wire::SectionReply> pushes;
  std::vector<wire::SectionReply> pulls(call.parcels.size());
  for (size_t i = 0; i < call.parcels.size(); ++i) {
    const Parcel& parcel = call.parcels[i];
    const Part& part = call.parts[parcel.part];
    pulls[i].header.shard = parcel.shard;
    uint8_t* out = writer.values(i);
    for (uint32_t u = parcel.begin; u < parcel.end; ++u) {
      const auto value = static_cast<float>(part.KeyAt(part.split->First(u)));
      for (uint32_t d = 0; d < dim; ++d, out += 4) std::memcpy(out, &value, 4);
    }
  }
  return ToRope(writer.Take(absl::MakeSpan(pushes), absl::MakeSpan(pulls)))
      .Flatten();
}

TEST(ReadReply, PutsEveryRowWhereItsKeyWasAskedFor) {
  BitGen gen(32);
  const uint32_t dim = 5;
  std::vector<uint64_t> keys(150);
  for (uint64_t& key : keys) key = gen.Below(70);
  for (size_t piece : {13u, 64u, 100000u}) {
    std::vector<float> rows(keys.size() * dim, -1);
    auto call = MakeCall({PullOf(MakeHandle(4, dim), keys, rows, kShards)},
                         nullptr, {}, absl::Seconds(1), kShards);
    auto view = wire::ParseReply(
        InPieces(Rope::FromString(ReplyTo(*call, dim)), piece));
    ASSERT_TRUE(view.ok()) << view.status();
    for (const SectionResult& result : ReadReply(*view, ClaimAll(call))) {
      EXPECT_EQ(result.header.code, 0u) << result.message;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(rows[i], static_cast<float>(keys[i / dim])) << i;
    }
  }
}

TEST(ReadReply, LeavesRowsAloneThatNobodyWaitsFor) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  std::vector<float> rows(3, -1);
  auto call = MakeCall({PullOf(MakeHandle(1, 1), keys, rows, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  auto view = wire::ParseReply(Rope::FromString(ReplyTo(*call, 1)));
  ASSERT_TRUE(view.ok());
  Claimed claimed = ClaimAll(call);
  claimed.wanted[0] = false;
  ReadReply(*view, claimed);
  EXPECT_EQ(rows, (std::vector<float>{-1, -1, -1}));
}

TEST(ReadReply, FindsADamagedRow) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  std::vector<float> rows(3, -1);
  auto call = MakeCall({PullOf(MakeHandle(1, 1), keys, rows, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  std::string bytes = ReplyTo(*call, 1);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);  // the last row's
  auto view = wire::ParseReply(Rope::FromString(bytes));
  ASSERT_TRUE(view.ok());
  const auto results = ReadReply(*view, ClaimAll(call));
  EXPECT_EQ(results[0].header.code,
            static_cast<uint32_t>(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(results[0].answered);
  EXPECT_EQ(rows, (std::vector<float>{-1, -1, -1}));
}

TEST(ReadReply, RefusesRowsOfAnotherWidth) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  std::vector<float> rows(6, -1);
  auto call = MakeCall({PullOf(MakeHandle(1, 2), keys, rows, 1)}, nullptr, {},
                       absl::Seconds(1), 1);
  auto view = wire::ParseReply(Rope::FromString(ReplyTo(*call, 3)));
  ASSERT_TRUE(view.ok());
  const auto results = ReadReply(*view, ClaimAll(call));
  EXPECT_EQ(results[0].header.code,
            static_cast<uint32_t>(absl::StatusCode::kInternal));
  EXPECT_EQ(rows, std::vector<float>(6, -1));
}

TEST(ReadReply, GivesARefusalOfTheWholeRequestToEverySection) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  std::vector<float> rows(3);
  auto call = MakeCall({PullOf(MakeHandle(1, 1), keys, rows, kShards)}, nullptr,
                       {}, absl::Seconds(1), kShards);
  auto view = wire::ParseReply(ToRope(wire::WriteReply(
      1, 8, wire::Reason::kOverloaded, 1, "too much", nullptr)));
  ASSERT_TRUE(view.ok());
  for (const SectionResult& result : ReadReply(*view, ClaimAll(call))) {
    EXPECT_EQ(result.header.code, 8u);
    EXPECT_EQ(result.message, "too much");
    EXPECT_FALSE(result.answered);
  }
}

}  // namespace
}  // namespace paramo::client
