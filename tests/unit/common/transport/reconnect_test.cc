// How long a client waits before it connects again.
#include <gtest/gtest.h>

#include "common/base/limits.h"
#include "common/transport/channel_core.h"

namespace paramo {
namespace {

TEST(ReconnectDelay, StartsAtTheLeastAndDoublesUpToTheMost) {
  const absl::Duration least = absl::Milliseconds(kReconnectMinMs);
  const absl::Duration most = absl::Milliseconds(kReconnectMaxMs);
  EXPECT_EQ(ReconnectDelay(0, 1), least);
  EXPECT_EQ(ReconnectDelay(1, 1), 2 * least);
  EXPECT_EQ(ReconnectDelay(5, 1), 32 * least);  // 1.6 s
  EXPECT_EQ(ReconnectDelay(6, 1), most);        // not 3.2 s
  EXPECT_EQ(ReconnectDelay(1'000'000, 1), most);
}

TEST(ReconnectDelay, IsAHalfToTheWhole) {
  for (const int failures : {0, 3, 50})
    EXPECT_EQ(ReconnectDelay(failures, 0), ReconnectDelay(failures, 1) / 2);
}

}  // namespace
}  // namespace paramo
