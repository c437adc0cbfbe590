#include "common/wire/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/hash/crc32c.h"
#include "common/hash/hash128.h"
#include "common/wire/layout.h"
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

// `bytes` cut into pieces of at most `piece` bytes, each a block of its own so
// that reading past one is caught by AddressSanitizer.
Rope Sliced(const std::string& bytes, size_t piece) {
  auto owner = std::make_shared<std::vector<std::string>>();
  for (size_t at = 0; at < bytes.size(); at += piece) {
    owner->push_back(bytes.substr(at, piece));
  }
  Rope::Pieces pieces;
  for (const std::string& part : *owner) {
    pieces.push_back(
        {reinterpret_cast<const uint8_t*>(part.data()), part.size()});
  }
  return Rope(std::move(pieces), owner, bytes.size());
}

SectionHeader RandomHeader(BitGen& gen) {
  SectionHeader header;
  VisitSection(header, [&gen](int, auto& field) {
    field = static_cast<std::remove_reference_t<decltype(field)>>(
        gen.Below(3) == 0 ? 0 : gen.Next());
  });
  return header;
}

struct Payload {
  SectionHeader header;
  bool is_pull = false;
  bool named = false;  // its keys go as their hash
  std::string keys;
  std::string values;

  KeyListRef list() const {
    return {HashBytes128(keys.data(), keys.size()),
            static_cast<uint32_t>(keys.size() / 8)};
  }
};

std::string RandomBytes(BitGen& gen, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(gen.Next());
  return bytes;
}

std::vector<Payload> RandomPayloads(BitGen& gen) {
  std::vector<Payload> payloads;
  size_t pushes = gen.Below(3);
  size_t pulls = gen.Below(3);
  for (size_t i = 0; i < pushes + pulls; ++i) {
    Payload payload;
    payload.header = RandomHeader(gen);
    payload.is_pull = i >= pushes;
    payload.named = gen.Below(3) == 0;
    size_t n = gen.Below(40);
    payload.keys = RandomBytes(gen, n * 8);
    if (!payload.is_pull) payload.values = RandomBytes(gen, n * 4 * 5);
    payloads.push_back(payload);
  }
  return payloads;
}

Message Write(uint64_t id, uint64_t cluster, uint32_t deadline_ms,
              const std::vector<Payload>& payloads) {
  RequestWriter writer(id, cluster, deadline_ms);
  for (const Payload& p : payloads) {
    if (p.is_pull) {
      writer.AddPull(p.header, p.keys.size() / 8);
    } else {
      writer.AddPush(p.header, p.keys.size() / 8, p.values.size());
    }
    if (p.named) {
      writer.SetKeys(reinterpret_cast<const Key*>(p.keys.data()),
                     p.list().hash);
    }
  }
  writer.Allocate();
  for (size_t s = 0; s < payloads.size(); ++s) {
    if (!payloads[s].named) {
      memcpy(writer.keys(s), payloads[s].keys.data(), payloads[s].keys.size());
    }
    if (!payloads[s].is_pull) {
      memcpy(writer.values(s), payloads[s].values.data(),
             payloads[s].values.size());
    }
    writer.Seal(s);
  }
  return writer.Take();
}

TEST(RequestTest, WriterGivesTheBytesOfGeneratedCode) {
  BitGen gen(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<Payload> payloads = RandomPayloads(gen);
    uint64_t id = gen.Below(2) ? gen.Next() : 0;
    uint64_t cluster = gen.Below(2) ? gen.Next() : 0;
    uint32_t deadline = static_cast<uint32_t>(gen.Below(2) ? gen.Next() : 0);
    std::string bytes = Bytes(Write(id, cluster, deadline, payloads));
    v1::Request proto;
    ASSERT_TRUE(proto.ParseFromString(bytes));
    EXPECT_EQ(proto.id(), id);
    EXPECT_EQ(proto.cluster(), cluster);
    EXPECT_EQ(proto.deadline_ms(), deadline);
    // Parsing and serialising again gives the same bytes: canonical.
    EXPECT_EQ(proto.SerializeAsString(), bytes);
  }
}

TEST(RequestTest, GeneratedCodeGivesTheBytesOfTheWriter) {
  Payload payload;
  payload.header.shard = 7;
  payload.header.seq = 9;
  payload.header.table = 3;
  payload.keys = std::string(16, '\1');
  payload.values = std::string(40, '\2');
  std::string bytes = Bytes(Write(5, 6, 7, {payload}));

  v1::Request proto;
  proto.set_id(5);
  proto.set_cluster(6);
  proto.set_deadline_ms(7);
  v1::Section& s = *proto.add_push();
  auto parsed = ParseRequest(Sliced(bytes, bytes.size()));
  ASSERT_TRUE(parsed.ok());
  const SectionHeader& h = parsed->push[0].header;
  s.set_shard(7);
  s.set_epoch(0);
  s.set_history(0);
  s.set_session(0);
  s.set_session_epoch(0);
  s.set_seq(9);
  s.set_clock(0);
  s.set_examples(0);
  s.set_colour(0);
  s.set_table(3);
  s.set_table_version(0);
  s.set_codec(0);
  s.set_flags(0);
  s.set_data_position(0);
  s.set_floor_epoch(0);
  s.set_floor_lsn(0);
  s.set_payload_hash_low(h.payload_hash_low);
  s.set_payload_hash_high(h.payload_hash_high);
  s.set_crc32c(h.crc32c);
  s.set_keys(payload.keys);
  s.set_values(payload.values);
  EXPECT_EQ(proto.SerializeAsString(), bytes);

  // With the hash of the keys, which changes neither checksum nor payload hash.
  payload.named = true;
  s.clear_keys();
  s.set_key_list_low(payload.list().hash.low);
  s.set_key_list_high(payload.list().hash.high);
  s.set_key_list_count(2);
  EXPECT_EQ(proto.SerializeAsString(), Bytes(Write(5, 6, 7, {payload})));
}

TEST(RequestTest, SetKeysAreCopiedWhenNoHashStandsForThem) {
  const std::vector<Key> keys = {5, 9};
  RequestWriter writer(1, 2, 3);
  writer.AddPull(SectionHeader(), keys.size());
  writer.SetKeys(keys.data(), std::nullopt);
  writer.Allocate();
  writer.Seal(0);
  Payload payload;
  payload.is_pull = true;
  payload.keys.assign(reinterpret_cast<const char*>(keys.data()), 16);
  EXPECT_EQ(Bytes(writer.Take()), Bytes(Write(1, 2, 3, {payload})));
}

TEST(RequestTest, RefusesKeysTwiceAndHalfAHash) {
  const auto parse = [](const v1::Request& request) {
    return ParseRequest(Rope::FromString(request.SerializeAsString())).status();
  };
  for (const bool is_pull : {false, true}) {
    v1::Request request;
    v1::Section& section = is_pull ? *request.add_pull() : *request.add_push();
    section.set_key_list_low(1);
    EXPECT_EQ(parse(request).code(), absl::StatusCode::kInvalidArgument);
    section.set_key_list_high(2);
    EXPECT_EQ(parse(request).code(), absl::StatusCode::kInvalidArgument);
    section.set_key_list_count(3);
    EXPECT_TRUE(parse(request).ok());
    section.set_keys("");
    EXPECT_EQ(parse(request).code(), absl::StatusCode::kInvalidArgument);
  }
}

// A record of the log holds the keys themselves.
TEST(RequestTest, ASectionByItselfHasItsKeys) {
  Payload payload;
  payload.keys = std::string(16, '\1');
  for (const bool named : {false, true}) {
    payload.named = named;
    const std::string bytes = Bytes(Write(0, 0, 0, {payload}));
    // Behind tag and length of the only section, of two bytes.
    const auto section = ParseSection(Rope::FromString(bytes.substr(3)));
    EXPECT_EQ(section.ok(), !named) << section.status();
  }
}

// The seam path: every cut of a message reads the same.
TEST(RequestTest, ViewReadsAnySlicing) {
  BitGen gen(2);
  for (int round = 0; round < 60; ++round) {
    std::vector<Payload> payloads = RandomPayloads(gen);
    std::string bytes = Bytes(Write(11, 12, 13, payloads));
    for (size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64},
                         size_t{139}, bytes.size()}) {
      auto view = ParseRequest(Sliced(bytes, piece));
      ASSERT_TRUE(view.ok()) << view.status();
      EXPECT_TRUE(view->canonical);
      EXPECT_EQ(view->id, 11u);
      ASSERT_EQ(view->push.size() + view->pull.size(), payloads.size());
      for (size_t i = 0; i < payloads.size(); ++i) {
        const SectionView& section = i < view->push.size()
                                         ? view->push[i]
                                         : view->pull[i - view->push.size()];
        ASSERT_EQ(section.list.has_value(), payloads[i].named);
        if (payloads[i].named) {
          EXPECT_EQ(section.list->hash, payloads[i].list().hash);
          EXPECT_EQ(section.list->count, payloads[i].list().count);
          EXPECT_EQ(section.keys.size, 0u);
        } else {
          EXPECT_TRUE(CheckCrc(view->rope, section).ok());
          std::string keys(section.keys.size, '\0');
          view->rope.Copy(section.keys.offset, keys.size(), keys.data());
          EXPECT_EQ(keys, payloads[i].keys);
        }
        std::string values(section.values.size, '\0');
        view->rope.Copy(section.values.offset, values.size(), values.data());
        EXPECT_EQ(values, payloads[i].values);
        EXPECT_EQ(section.header.seq, payloads[i].header.seq);
        EXPECT_EQ(section.header.floor_lsn, payloads[i].header.floor_lsn);
      }
    }
  }
}

TEST(RequestTest, ReadsWhatIsNotCanonicalThroughGeneratedCode) {
  v1::Request proto;
  v1::Section& section = *proto.add_pull();
  section.set_table(3);
  section.set_keys(std::string(8, '\7'));
  auto view = ParseRequest(Rope::FromString(proto.SerializeAsString()));
  ASSERT_TRUE(view.ok());
  EXPECT_FALSE(view->canonical);
  ASSERT_EQ(view->pull.size(), 1u);
  EXPECT_FALSE(view->pull[0].header.has(kShard));
  EXPECT_TRUE(view->pull[0].header.has(kTable));
  EXPECT_EQ(view->pull[0].header.table, 3u);
  EXPECT_EQ(view->pull[0].keys.size, 8u);
  EXPECT_TRUE(CheckCrc(view->rope, view->pull[0]).ok());  // absent: unchecked
}

// Unknown fields, another order, duplicated singular fields: as protobuf says.
TEST(RequestTest, UnknownAndRepeatedFieldsFollowProtobuf) {
  std::string bytes = Bytes(Write(1, 0, 0, {}));
  bytes += std::string("\xf8\x3f\x05", 3);            // field 1023 = 5
  bytes += std::string("\x09\x02\0\0\0\0\0\0\0", 9);  // id again: 2
  auto view = ParseRequest(Rope::FromString(bytes));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(view->id, 2u);
  EXPECT_FALSE(view->canonical);
}

TEST(RequestTest, DamageIsFoundByTheChecksum) {
  BitGen gen(3);
  Payload payload;
  payload.header = RandomHeader(gen);
  payload.header.present = kAllSectionFields;
  payload.keys = RandomBytes(gen, 24);
  payload.values = RandomBytes(gen, 60);
  std::string bytes = Bytes(Write(1, 2, 3, {payload}));
  size_t found = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    auto view = ParseRequest(Rope::FromString(damaged));
    bool same_sections = view.ok() && view->push.size() == 1;
    if (!same_sections) continue;
    const SectionView& section = view->push[0];
    bool undamaged =
        CheckCrc(view->rope, section).ok() && section.header.has(kCrc32c);
    if (!undamaged) ++found;
    // What passes must hold the payload and header it was sealed with.
    if (undamaged) {
      std::string keys(section.keys.size, '\0');
      view->rope.Copy(section.keys.offset, keys.size(), keys.data());
      EXPECT_EQ(keys, payload.keys) << "bit " << bit;
      EXPECT_EQ(section.header.seq, payload.header.seq) << "bit " << bit;
    }
  }
  EXPECT_GT(found, 24u * 8 + 60 * 8);  // every payload bit, and header bits
}

TEST(RequestTest, ChecksumIsWhatTheProtoSays) {
  Payload payload;
  payload.header.shard = 1;
  payload.header.epoch = 2;
  payload.keys = std::string("\1\0\0\0\0\0\0\0", 8);
  payload.values = "abcd";
  auto view = ParseRequest(Rope::FromString(Bytes(Write(0, 0, 0, {payload}))));
  ASSERT_TRUE(view.ok());
  const SectionHeader& h = view->push[0].header;
  std::string packed = payload.keys + payload.values;
  auto put = [&packed](auto field) {
    packed.append(reinterpret_cast<const char*>(&field), sizeof(field));
  };
  put(h.shard);
  put(h.epoch);
  put(h.history);
  put(h.session);
  put(h.session_epoch);
  put(h.seq);
  put(h.clock);
  put(h.examples);
  put(h.colour);
  put(h.table);
  put(h.table_version);
  put(h.codec);
  put(h.flags);
  put(h.data_position);
  put(h.floor_epoch);
  put(h.floor_lsn);
  put(h.payload_hash_low);
  put(h.payload_hash_high);
  EXPECT_EQ(h.crc32c, Crc32c(packed.data(), packed.size()));
}

TEST(RequestTest, RefusesTooManySectionsOnBothRoads) {
  std::vector<Payload> payloads(kSectionsMax + 1);
  for (Payload& p : payloads) p.is_pull = true;
  auto canonical =
      ParseRequest(Rope::FromString(Bytes(Write(1, 0, 0, payloads))));
  EXPECT_EQ(canonical.status().code(), absl::StatusCode::kResourceExhausted);

  // Two bytes a section: refused before a million objects are made of them.
  std::string tiny;
  for (size_t i = 0; i < 1'000'000; ++i) tiny += std::string("\x32\0", 2);
  auto generated = ParseRequest(Rope::FromString(tiny));
  EXPECT_EQ(generated.status().code(), absl::StatusCode::kResourceExhausted);
}

// protobuf takes the low 32 bits of a tag, so these are sections to it. The
// broken end tells who saw them first.
TEST(RequestTest, CountsSectionsUnderTagsOfFiveBytes) {
  std::string sections;
  for (size_t i = 0; i <= kSectionsMax; ++i) {
    sections += std::string("\xb2\x80\x80\x80\x10\0", 6);
  }
  auto view = ParseRequest(Rope::FromString(sections + "\x32"));
  EXPECT_EQ(view.status().code(), absl::StatusCode::kResourceExhausted);
}

// Bytes that protobuf refuses must not pass because of where they lie.
TEST(RequestTest, LongerVarintsThanNeededAreNotCanonical) {
  Payload payload;
  payload.is_pull = true;
  payload.keys = std::string(8, '\7');
  const std::string bytes = Bytes(Write(0, 0, 0, {payload}));
  ASSERT_EQ(bytes[0], '\x3a');
  auto longer = ParseRequest(
      Rope::FromString(std::string("\xba\0", 2) + bytes.substr(1)));
  ASSERT_TRUE(longer.ok()) << longer.status();
  EXPECT_FALSE(longer->canonical);
  EXPECT_EQ(longer->pull.size(), 1u);
  auto too_long = ParseRequest(Rope::FromString(
      std::string("\xba\x80\x80\x80\x80\0", 6) + bytes.substr(1)));
  EXPECT_EQ(too_long.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RequestTest, RefusesTooManyKeys) {
  Payload payload;
  payload.is_pull = true;
  payload.keys = std::string((kKeysMax + 1) * 8, '\0');
  auto view = ParseRequest(Rope::FromString(Bytes(Write(1, 0, 0, {payload}))));
  EXPECT_EQ(view.status().code(), absl::StatusCode::kResourceExhausted);
  payload.named = true;
  view = ParseRequest(Rope::FromString(Bytes(Write(1, 0, 0, {payload}))));
  EXPECT_EQ(view.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(RequestTest, GarbageAndTruncationAreErrorsNotCrashes) {
  BitGen gen(4);
  std::string whole = Bytes(Write(1, 2, 3, RandomPayloads(gen)));
  for (size_t size = 0; size < whole.size(); ++size) {
    auto view = ParseRequest(Rope::FromString(whole.substr(0, size)));
    if (!view.ok()) {
      EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = RandomBytes(gen, gen.Below(200));
    auto view = ParseRequest(Sliced(bytes, 1 + gen.Below(16)));
    if (view.ok()) {
      for (const SectionView& s : view->push) {
        EXPECT_LE(s.keys.offset + s.keys.size, view->rope.size());
      }
    }
  }
}

// A length of 2 GiB in front of a few bytes costs nothing.
TEST(RequestTest, ClaimedSizesAllocateNothing) {
  std::string bytes("\x32\xff\xff\xff\xff\x07", 6);
  auto view = ParseRequest(Rope::FromString(bytes + "abc"));
  EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RequestTest, HelloGoesThrough) {
  Hello hello;
  hello.cluster_id = 77;
  hello.build = "test";
  hello.key_lists = true;
  Message message = WriteHelloRequest(3, hello);
  auto view = ParseRequest(Rope::FromString(Bytes(message)));
  ASSERT_TRUE(view.ok());
  ASSERT_TRUE(view->hello.has_value());
  EXPECT_EQ(view->hello->cluster_id, 77u);
  EXPECT_EQ(view->hello->build, "test");
  EXPECT_TRUE(view->hello->key_lists);
  EXPECT_EQ(view->id, 3u);
}

}  // namespace
}  // namespace paramo::wire
