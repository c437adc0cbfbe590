#include "server/service/key_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/base/limits.h"
#include "common/hash/hash128.h"

namespace paramo {
namespace {

using ::testing::ElementsAreArray;

std::vector<Key> List(Key first, size_t n) {
  std::vector<Key> keys(n);
  std::iota(keys.begin(), keys.end(), first);
  return keys;
}
Hash128 HashOf(const std::vector<Key>& keys) {
  return HashBytes128(keys.data(), keys.size() * sizeof(Key));
}

// One section, read from pieces of at most `piece` bytes.
struct Sent {
  std::vector<Key> keys;
  bool as_hash = false;
  bool is_pull = false;
};
wire::RequestView Request(const std::vector<Sent>& sections,
                          size_t piece = size_t{1} << 30) {
  wire::RequestWriter writer(1, 2, 3);
  for (const Sent& s : sections) {
    if (s.is_pull) {
      writer.AddPull({}, s.keys.size());
    } else {
      writer.AddPush({}, s.keys.size(), 4 * s.keys.size());
    }
    writer.SetKeys(s.keys.data(),
                   s.as_hash ? std::optional(HashOf(s.keys)) : std::nullopt);
  }
  writer.Allocate();
  for (size_t s = 0; s < sections.size(); ++s) {
    if (!sections[s].is_pull) {
      memset(writer.values(s), 1, 4 * sections[s].keys.size());
    }
    writer.Seal(s);
  }
  auto message = std::make_shared<Message>(writer.Take());
  Rope::Pieces pieces;
  const Buffer& block = (*message)[0];
  for (size_t at = 0; at < block.size(); at += piece) {
    pieces.push_back({block.data() + at, std::min(piece, block.size() - at)});
  }
  return *wire::ParseRequest(Rope(std::move(pieces), message, block.size()));
}

std::vector<Key> KeysOf(const wire::RequestView& request,
                        const wire::SectionView& section) {
  std::vector<Key> keys(section.keys.size / sizeof(Key));
  request.rope.Copy(section.keys.offset, section.keys.size, keys.data());
  return keys;
}

class KeyListsTest : public ::testing::Test {
 protected:
  void Remember(const std::vector<Key>& keys) {
    wire::RequestView request = Request({{keys, false, true}});
    lists_.Expand(request);
  }
  bool Knows(const std::vector<Key>& keys) {
    wire::RequestView request = Request({{keys, true, true}});
    lists_.Expand(request);
    return !request.pull[0].list.has_value();
  }

  MetricsRegistry metrics_;
  KeyLists lists_{metrics_};
};

TEST_F(KeyListsTest, GivesASectionTheKeysThatItsHashStandsFor) {
  const std::vector<Key> a = List(7, 40);
  const std::vector<Key> b = List(90, 100);
  for (const size_t piece : {size_t{1}, size_t{13}, size_t{1} << 20}) {
    KeyLists lists(metrics_);
    wire::RequestView whole = Request({{a}, {b}}, piece);
    lists.Expand(whole);
    wire::RequestView named =
        Request({{b, true}, {List(1, 3)}, {a, true, true}}, piece);
    const size_t pinned = named.rope.pinned_bytes();
    lists.Expand(named);
    EXPECT_EQ(named.rope.pinned_bytes(), pinned + 140 * sizeof(Key));
    EXPECT_THAT(KeysOf(named, named.push[0]), ElementsAreArray(b));
    EXPECT_THAT(KeysOf(named, named.push[1]), ElementsAreArray(List(1, 3)));
    EXPECT_THAT(KeysOf(named, named.pull[0]), ElementsAreArray(a));
    for (const auto* sections : {&named.push, &named.pull}) {
      for (const wire::SectionView& section : *sections) {
        EXPECT_FALSE(section.list.has_value());
        EXPECT_TRUE(wire::CheckCrc(named.rope, section).ok());
      }
    }
  }
}

TEST_F(KeyListsTest, APullMayNameTheListOfAPushOfItsRequest) {
  const std::vector<Key> keys = List(7, 40);
  wire::RequestView request = Request({{keys}, {keys, true, true}});
  lists_.Expand(request);
  EXPECT_THAT(KeysOf(request, request.pull[0]), ElementsAreArray(keys));
}

TEST_F(KeyListsTest, AnUnknownHashAndAWrongCountStayAsTheyAre) {
  const std::vector<Key> keys = List(7, 40);
  EXPECT_FALSE(Knows(keys));
  EXPECT_FALSE(Knows(keys)) << "remembered by its hash alone";
  EXPECT_EQ(lists_.bytes(), 0u);
  Remember(keys);
  for (const uint32_t count : {0u, 39u, 41u, ~0u}) {
    wire::RequestView request = Request({{keys, true, true}});
    request.pull[0].list->count = count;
    lists_.Expand(request);
    EXPECT_TRUE(request.pull[0].list.has_value()) << count;
    EXPECT_EQ(request.pull[0].keys.size, 0u);
  }
  EXPECT_TRUE(Knows(keys));
}

TEST_F(KeyListsTest, RemembersListsOfACertainLength) {
  Remember(List(0, kKeyListKeysMin - 1));
  EXPECT_EQ(lists_.bytes(), 0u);
  Remember(List(0, kKeyListKeysMin));
  EXPECT_TRUE(Knows(List(0, kKeyListKeysMin)));
  Remember(List(0, kKeyListKeysMax));
  EXPECT_TRUE(Knows(List(0, kKeyListKeysMax)));
  Remember(List(0, kKeyListKeysMax + 1));
  EXPECT_FALSE(Knows(List(0, kKeyListKeysMax + 1)));
  // Half a key at the end.
  std::vector<Key> keys = List(1, 40);
  wire::RequestView request = Request({{keys}});
  request.push[0].keys.size -= 4;
  const size_t before = lists_.bytes();
  lists_.Expand(request);
  EXPECT_EQ(lists_.bytes(), before);
}

TEST_F(KeyListsTest, HoldsTheLimitAtMostAndForgetsWhatWasNotUsedForLongest) {
  constexpr size_t kKeys = size_t{64} << 10;
  constexpr size_t kLists = kKeyListsBytesMax / (kKeys * sizeof(Key));
  wire::RequestView in_use;
  for (size_t i = 0; i < 2 * kLists; ++i) {
    Remember(List(i, kKeys));
    EXPECT_TRUE(Knows(List(0, kKeys))) << "used all the time";
    EXPECT_LE(lists_.bytes(), kKeyListsBytesMax);
    if (i != 1) continue;
    in_use = Request({{List(1, kKeys), true}});
    lists_.Expand(in_use);
  }
  EXPECT_GT(lists_.bytes(), kKeyListsBytesMax / 2);
  EXPECT_FALSE(Knows(List(1, kKeys)));
  EXPECT_FALSE(Knows(List(kLists, kKeys)));
  EXPECT_TRUE(Knows(List(2 * kLists - 1, kKeys)));
  EXPECT_THAT(KeysOf(in_use, in_use.push[0]), ElementsAreArray(List(1, kKeys)))
      << "a request keeps its keys";
}

// A flood of the shortest lists, whose bookkeeping is as large as they are.
TEST_F(KeyListsTest, CountsWhatAnEntryCostsBesideItsKeys) {
  Remember(List(0, kKeyListKeysMin));
  EXPECT_GT(lists_.bytes(), kKeyListKeysMin * sizeof(Key) + 100);
}

}  // namespace
}  // namespace paramo
