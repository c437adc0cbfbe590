// Sections that name their keys by a hash, and lie (K1).
#include <numeric>

#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/hash/crc32c.h"
#include "common/hash/hash128.h"
#include "common/routing/routing.h"
#include "common/wire/request.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

class KeyListTest : public BadInputTest {
 protected:
  static void Name(v1::Section& section, const std::vector<uint64_t>& keys) {
    const Hash128 hash = HashBytes128(keys.data(), keys.size() * 8);
    section.clear_keys();
    section.set_key_list_low(hash.low);
    section.set_key_list_high(hash.high);
    section.set_key_list_count(static_cast<uint32_t>(keys.size()));
  }
  static v1::Section PushOf(const std::vector<uint64_t>& keys) {
    return SimpleSection(victim_.id(), keys,
                         std::vector<float>(4 * keys.size(), 1));
  }
  // The server has seen it, and counts no error.
  static void Show(const std::vector<uint64_t>& keys) {
    v1::Request request;
    *request.add_pull() = SimpleSection(victim_.id(), keys);
    auto reply = server().Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->pull(0).code(), 0u) << reply->pull(0).message();
  }

  const std::vector<uint64_t> keys_ = [] {
    std::vector<uint64_t> keys(100);
    std::iota(keys.begin(), keys.end(), 0);
    return keys;
  }();
};

TEST_F(KeyListTest, K1_HashOfAListThatWasNeverSentIsAskedFor) {
  std::vector<uint64_t> unknown = keys_;
  unknown[0] = 12345;
  v1::Section section = PushOf(unknown);
  Name(section, unknown);
  for (int i = 0; i < 2; ++i) {  // having been named it is as unknown
    ExpectPushRefused(section, Code::kAborted, v1::REASON_NEED_KEYS);
  }
  section.clear_values();
  ExpectPullRefused(section, Code::kAborted, v1::REASON_NEED_KEYS);
  ExpectUnharmed();
}

TEST_F(KeyListTest, K1_HashWithAnotherCountIsAskedFor) {
  Show(keys_);
  v1::Section section = PushOf(keys_);
  Name(section, keys_);
  for (const uint32_t count : {0u, 99u, 101u}) {
    section.set_key_list_count(count);
    ExpectPushRefused(section, Code::kAborted, v1::REASON_NEED_KEYS);
  }
  // As many keys as no request may have.
  v1::Request request;
  *request.add_push() = section;
  request.mutable_push(0)->set_key_list_count(0xffffffff);
  ExpectCallRefused("Push", request.SerializeAsString(),
                    Code::kResourceExhausted, v1::REASON_TOO_LARGE);
  ExpectUnharmed();
}

// The checksum is of the keys that were meant.
TEST_F(KeyListTest, K1_HashOfAnotherListIsDamage) {
  Show(keys_);
  std::vector<uint64_t> meant = keys_;
  std::swap(meant[0], meant[1]);
  wire::RequestWriter writer(0, 0, 0);
  wire::SectionHeader header;
  auto state = server().State();
  ASSERT_TRUE(state.ok()) << state.status();
  header.shard = ShardOf(victim_.id(), keys_[0], 64);
  header.epoch = state->shards(static_cast<int>(header.shard)).epoch();
  header.history = state->shards(static_cast<int>(header.shard)).history();
  header.table = victim_.id();
  writer.AddPull(header, meant.size());
  writer.SetKeys(meant.data(), HashBytes128(keys_.data(), keys_.size() * 8));
  writer.Allocate();
  writer.Seal(0);
  const Message message = writer.Take();
  v1::Request request;
  ASSERT_TRUE(request.ParseFromArray(message[0].data(),
                                     static_cast<int>(message[0].size())));
  ExpectPullRefused(request.pull(0), Code::kDataLoss, v1::REASON_CHECKSUM);
  ExpectUnharmed();
}

// What a known hash stands for is checked like keys.
TEST_F(KeyListTest, K1_ListWithKeysOfOtherShardsIsRefused) {
  Show(keys_);
  v1::Section section = PushOf(keys_);
  Name(section, keys_);
  section.set_shard(ShardOf(victim_.id(), 1, 64));
  ExpectPushRefused(section, Code::kInvalidArgument, v1::REASON_KEYS);
  section.clear_shard();
  section.set_values(std::string(4 * 4 * 99, '\0'));
  ExpectPushRefused(section, Code::kInvalidArgument, v1::REASON_DIMENSIONS);
  ExpectUnharmed();
}

TEST_F(KeyListTest, K1_KeysAndTheirHashTogetherAreMalformed) {
  Show(keys_);
  v1::Request request;
  v1::Section& section = *request.add_pull();
  section = SimpleSection(victim_.id(), keys_);
  const std::string keys = section.keys();
  Name(section, keys_);
  section.set_keys(keys);
  ExpectCallRefused("Pull", request.SerializeAsString(), Code::kInvalidArgument,
                    v1::REASON_MALFORMED);
  section.clear_keys();
  section.clear_key_list_high();
  ExpectCallRefused("Pull", request.SerializeAsString(), Code::kInvalidArgument,
                    v1::REASON_MALFORMED);
  ExpectUnharmed();
}

TEST_F(KeyListTest, K1_UnknownHashesByTheMillionAreNotKept) {
  constexpr int kRequests = 250;  // of kSectionsMax hashes
  const double before = server().Refused("need_keys");
  const double held = server().Metric("paramo_key_list_bytes");
  BitGen gen(/*seed=*/71);
  for (int i = 0; i < kRequests; ++i) {
    v1::Request request;
    for (size_t s = 0; s < kSectionsMax; ++s) {
      v1::Section& section = *request.add_pull();
      section.set_table(victim_.id());
      section.set_key_list_low(gen.Next());
      section.set_key_list_high(gen.Next());
      section.set_key_list_count(32);
    }
    auto reply = server().Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  EXPECT_EQ(server().Refused("need_keys"), before + kRequests * kSectionsMax);
  EXPECT_EQ(server().Metric("paramo_key_list_bytes"), held);
  ExpectUnharmed();
}

// The shortest lists, whose bookkeeping is as large as they are.
TEST_F(KeyListTest, K1_FloodOfListsIsHeldToTheLimit) {
  std::vector<uint64_t> keys(kKeyListKeysMin);
  for (uint64_t list = 0; list < kKeyListsBytesMax / 256;) {
    v1::Request request;
    for (size_t s = 0; s < kSectionsMax; ++s, ++list) {
      std::iota(keys.begin(), keys.end(), list << 32);
      *request.add_pull() = SimpleSection(victim_.id(), keys);
      request.mutable_pull(static_cast<int>(s))->set_shard(0);  // not theirs
    }
    auto reply = server().Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  const double held = server().Metric("paramo_key_list_bytes");
  EXPECT_LE(held, kKeyListsBytesMax);
  EXPECT_GT(held, kKeyListsBytesMax / 2);
  ExpectUnharmed(kKeyListsBytesMax + 64 * kMiB);
}

}  // namespace
}  // namespace paramo::test
