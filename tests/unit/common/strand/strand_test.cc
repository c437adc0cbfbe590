#include "common/strand/strand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace paramo {
namespace {

using ::testing::ElementsAre;

TEST(StrandTest, RunsInlineWhenIdle) {
  Strand strand;
  std::thread::id ran_on;
  strand.PostFunction([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(StrandTest, QueuesWhatIsPostedFromWithinInOrder) {
  Strand strand;
  std::vector<int> order;
  strand.PostFunction([&] {
    strand.PostFunction([&] {
      order.push_back(2);
      strand.PostFunction([&] { order.push_back(4); });
    });
    strand.PostFunction([&] { order.push_back(3); });
    order.push_back(1);
  });
  EXPECT_THAT(order, ElementsAre(1, 2, 3, 4));
}

struct SelfDeleting : StrandTask {
  explicit SelfDeleting(int* count) : StrandTask(&Run), count(count) {}
  static void Run(StrandTask* task) {
    auto* self = static_cast<SelfDeleting*>(task);
    ++*self->count;
    delete self;
  }
  int* count;
};

TEST(StrandTest, TaskMayDeleteItself) {
  Strand strand;
  int count = 0;
  strand.PostFunction([&] {
    for (int i = 0; i < 10; ++i) strand.Post(new SelfDeleting(&count));
  });
  EXPECT_EQ(count, 10);
}

// Without mutual exclusion the plain counter loses increments; without order
// per poster the check in the task fails.
TEST(StrandTest, OneAtATimeAndInOrderUnderManyPosters) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 20000;
  Strand strand;
  int count = 0;  // touched on the strand only
  std::vector<int> last(kThreads, -1);
  bool in_order = true;
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        strand.PostFunction([&, t, i] {
          ++count;
          in_order = in_order && last[t] == i - 1;
          last[t] = i;
        });
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  // A join orders the posters; the last runner may have been any of them.
  strand.PostFunction([&] {
    EXPECT_EQ(count, kThreads * kPosts);
    EXPECT_TRUE(in_order);
  });
}

}  // namespace
}  // namespace paramo
