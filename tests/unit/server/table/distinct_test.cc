#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "server/table/distinct.h"

namespace paramo {
namespace {

using ::testing::ElementsAre;

TEST(DistinctKeys, AscendingKeysPassThroughUncopied) {
  const std::vector<Key> keys = {0, 3, ~Key{0}};
  const float grad = 1;
  const std::vector<const float*> grads(3, &grad);
  DistinctKeys distinct;
  distinct.Set(keys, grads.data(), 1);
  EXPECT_EQ(distinct.keys().data(), keys.data());
  EXPECT_EQ(distinct.grads(), grads.data());
  EXPECT_EQ(distinct.bytes(), 0u);
}

TEST(DistinctKeys, UnsortedDistinctKeysKeepTheirOrder) {
  const std::vector<Key> keys = {5, 1, 3};
  const float grad = 1;
  const std::vector<const float*> grads(3, &grad);
  DistinctKeys distinct;
  distinct.Set(keys, grads.data(), 1);
  EXPECT_THAT(distinct.keys(), ElementsAre(5, 1, 3));
  EXPECT_EQ(distinct.grads(), grads.data());
}

TEST(DistinctKeys, SumsInTheOrderGiven) {
  // (2^24 + 1) + 1 = 2^24 in f32, but (1 + 1) + 2^24 = 2^24 + 2: order shows.
  const float large = 0x1p24f, one = 1;
  const std::vector<Key> keys = {9, 4, 9, 4, 9, 4, 2};
  const std::vector<const float*> grads = {&large, &one,   &one, &one,
                                           &one,   &large, &one};
  DistinctKeys distinct;
  distinct.Set(keys, grads.data(), 1);
  EXPECT_THAT(distinct.keys(), ElementsAre(9, 4, 2));
  EXPECT_EQ(distinct.grads()[0][0], 0x1p24f);
  EXPECT_EQ(distinct.grads()[1][0], 0x1p24f + 2);
  EXPECT_EQ(distinct.grads()[2], &one);  // single: not copied
  EXPECT_EQ(large, 0x1p24f);             // the push itself is untouched
}

TEST(DistinctKeys, NeighboursThatRepeatAreDuplicates) {
  const std::vector<Key> keys = {1, 1, 2};
  const float grad = 3;
  const std::vector<const float*> grads(3, &grad);
  DistinctKeys distinct;
  distinct.Set(keys, grads.data(), 1);
  EXPECT_THAT(distinct.keys(), ElementsAre(1, 2));
  EXPECT_EQ(distinct.grads()[0][0], 6);
}

TEST(DistinctKeys, TrimGivesLargeScratchBack) {
  const size_t n = 100000;
  std::vector<Key> keys(n);
  for (size_t i = 0; i < n; ++i) keys[i] = Mix64(i % (n / 2));
  const float grad[4] = {1, 2, 3, 4};
  const std::vector<const float*> grads(n, grad);
  DistinctKeys distinct;
  distinct.Set(keys, grads.data(), 4);
  EXPECT_EQ(distinct.keys().size(), n / 2);
  EXPECT_EQ(distinct.grads()[n / 2 - 1][3], 8);
  EXPECT_GT(distinct.bytes(), n);
  distinct.Trim();
  EXPECT_EQ(distinct.bytes(), 0u);
}

}  // namespace
}  // namespace paramo
