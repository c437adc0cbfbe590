#include "paramo/future.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace paramo {
namespace {

TEST(Future, GivesTheValueOnce) {
  Promise<std::unique_ptr<int>> promise;
  auto future = promise.future();
  EXPECT_FALSE(future.ready());
  EXPECT_FALSE(future.wait_for(std::chrono::milliseconds(1)));
  promise.Set(std::make_unique<int>(7));
  EXPECT_TRUE(future.ready());
  EXPECT_TRUE(future.wait_for(std::chrono::milliseconds(0)));
  EXPECT_EQ(*future.get(), 7);
  EXPECT_FALSE(future.valid());
}

TEST(Future, GetWaitsForAnotherThread) {
  Promise<int> promise;
  auto future = promise.future();
  std::thread other([&] { promise.Set(8); });
  EXPECT_EQ(future.get(), 8);
  other.join();
}

TEST(Future, ThenRunsAtOnceWhenReady) {
  Promise<int> promise;
  auto future = promise.future();
  promise.Set(9);
  int got = 0;
  future.then([&](int value) { got = value; });
  EXPECT_EQ(got, 9);
}

TEST(Future, ThenRunsWhereTheValueComes) {
  Promise<int> promise;
  auto future = promise.future();
  std::thread::id where;
  future.then([&](int) { where = std::this_thread::get_id(); });
  std::thread other([&] { promise.Set(1); });
  const std::thread::id expected = other.get_id();
  other.join();
  EXPECT_EQ(where, expected);
}

TEST(Future, MayBeDropped) {
  Promise<int> promise;
  { auto dropped = promise.future(); }
  promise.Set(1);
}

}  // namespace
}  // namespace paramo
