#include "server/shard/round.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "common/base/random.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

constexpr uint32_t kDim = 2;

Contribution Part(TableId table, std::vector<Key> keys,
                  std::vector<float> values) {
  auto data = std::make_shared<RequestData>();
  data->rope = Rope::FromString(std::string(
      reinterpret_cast<const char*>(values.data()), values.size() * 4));
  data->keys = std::move(keys);
  const auto* base =
      reinterpret_cast<const float*>(data->rope.pieces()[0].data);
  for (size_t i = 0; i < data->keys.size(); ++i) {
    data->rows.push_back(base + i * kDim);
  }
  Contribution part;
  part.table = table;
  part.keys = data->keys;
  part.rows = data->rows;
  part.data = data;
  return part;
}

std::map<Key, std::vector<float>> CloseAll(RoundBuffer& buffer,
                                           WorkerClock round) {
  std::map<Key, std::vector<float>> mean;
  buffer.Close(
      round, [](TableId) { return kDim; },
      [&](const MeanGradient& gradient) {
        EXPECT_TRUE(std::is_sorted(gradient.keys.begin(), gradient.keys.end()));
        for (size_t i = 0; i < gradient.keys.size(); ++i) {
          EXPECT_FALSE(mean.contains(gradient.keys[i])) << "key twice";
          mean[gradient.keys[i]] = {gradient.rows[i], gradient.rows[i] + kDim};
        }
      });
  return mean;
}

// Two workers with 1 and 3 examples: mean = 1/4 a + 3/4 b.
TEST(RoundTest, MeanIsWeightedByExamples) {
  RoundBuffer buffer;
  buffer.Add(0, 0, Part(1, {5, 6}, {4, 8, 40, 80}));
  buffer.End(0, 0, 1);
  buffer.Add(0, 1, Part(1, {5}, {12, 16}));
  buffer.End(0, 1, 3);
  auto mean = CloseAll(buffer, 0);
  EXPECT_THAT(mean[5], ElementsAre(10, 14));  // 1 + 9, 2 + 12
  EXPECT_THAT(mean[6], ElementsAre(10, 20));  // nobody else touched it
  EXPECT_TRUE(buffer.rounds().empty());
}

TEST(RoundTest, SeveralSectionsOfOneStepAddUp) {
  RoundBuffer buffer;
  buffer.Add(0, 0, Part(1, {5}, {1, 1}));
  buffer.Add(0, 0, Part(1, {5}, {2, 3}));
  buffer.End(0, 0, 8);
  EXPECT_THAT(CloseAll(buffer, 0)[5], ElementsAre(3, 4));
}

TEST(RoundTest, IncompleteStepsOfOneWhoLeftAreDiscarded) {
  RoundBuffer buffer;
  buffer.Add(0, 0, Part(1, {5}, {1, 1}));
  buffer.End(0, 0, 2);
  buffer.Add(0, 1, Part(1, {5}, {100, 100}));  // never ended
  buffer.Add(1, 0, Part(1, {5}, {7, 7}));
  EXPECT_EQ(buffer.DropWorker(1, /*first_without=*/~0ull), 1u);
  EXPECT_THAT(CloseAll(buffer, 0)[5], ElementsAre(1, 1));
  EXPECT_EQ(buffer.rounds().size(), 1u);  // round 1 is still open
}

// Bit-equal whatever the order of arrival, and equal to a plain loop.
TEST(RoundTest, ArrivalOrderDoesNotMatter) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    BitGen gen(seed);
    const int workers = 5;
    std::map<WorkerId, std::pair<std::vector<Key>, std::vector<float>>> given;
    std::map<WorkerId, uint32_t> examples;
    uint32_t total = 0;
    for (WorkerId w = 0; w < workers; ++w) {
      for (Key key = 0; key < 700; ++key) {
        if (gen.Below(2) == 0) continue;
        given[w].first.push_back(key);
        for (uint32_t i = 0; i < kDim; ++i) {
          given[w].second.push_back(static_cast<float>(gen.Uniform() - 0.5));
        }
      }
      examples[w] = static_cast<uint32_t>(1 + gen.Below(200));
      total += examples[w];
    }
    std::map<Key, std::vector<float>> expected;
    for (const auto& [w, rows] : given) {
      float weight =
          static_cast<float>(examples[w]) / static_cast<float>(total);
      for (size_t r = 0; r < rows.first.size(); ++r) {
        auto [at, fresh] = expected.try_emplace(rows.first[r], kDim, 0.0f);
        for (uint32_t i = 0; i < kDim; ++i) {
          float g = rows.second[r * kDim + i];
          at->second[i] =
              fresh ? weight * g : std::fma(weight, g, at->second[i]);
        }
      }
    }
    for (int shuffle = 0; shuffle < 3; ++shuffle) {
      std::vector<WorkerId> order = {0, 1, 2, 3, 4};
      for (size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[gen.Below(i)]);
      }
      RoundBuffer buffer;
      for (WorkerId w : order) {
        buffer.Add(3, w, Part(1, given[w].first, given[w].second));
        buffer.End(3, w, examples[w]);
      }
      EXPECT_EQ(CloseAll(buffer, 3), expected);
    }
  }
}

}  // namespace
}  // namespace paramo
