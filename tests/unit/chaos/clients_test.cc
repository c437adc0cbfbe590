#include "tests/chaos/clients.h"

#include <gtest/gtest.h>

namespace paramo::chaos {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

Attempt Took(int64_t begin_ms, int64_t length_ms, Outcome outcome) {
  const int64_t begin_ns = begin_ms * kMillisecond;
  return {begin_ns, begin_ns + length_ms * kMillisecond, outcome};
}

uint64_t HurtFrom100To5000(const Attempt& attempt) {
  return CountHurt({attempt}, 100 * kMillisecond, 5000 * kMillisecond);
}

TEST(Clients, APushThatFailsOrWaitsIsHurt) {
  EXPECT_EQ(HurtFrom100To5000(Took(200, 10, Outcome::kAcked)), 0u);
  EXPECT_EQ(HurtFrom100To5000(Took(200, 1700, Outcome::kAcked)), 0u);
  EXPECT_EQ(HurtFrom100To5000(Took(200, 1800, Outcome::kAcked)), 1u);
  EXPECT_EQ(HurtFrom100To5000(Took(200, 10, Outcome::kFailed)), 1u);
  // A deadline that a starved machine misses; and one that outlasts faults.
  EXPECT_EQ(HurtFrom100To5000(Took(200, 300, Outcome::kUnknown)), 0u);
  EXPECT_EQ(HurtFrom100To5000(Took(200, 300, Outcome::kFailed)), 0u);
  EXPECT_EQ(HurtFrom100To5000(Took(200, 4000, Outcome::kUnknown)), 1u);
}

TEST(Clients, AnOpenPushIsHurtOnceItHasWaited) {
  Attempt open = Took(200, 0, Outcome::kOpen);
  open.end_ns = 0;
  EXPECT_EQ(HurtFrom100To5000(open), 1u);
  open.begin_ns = 4500 * kMillisecond;
  EXPECT_EQ(HurtFrom100To5000(open), 0u);
}

TEST(Clients, WhatBeganBeforeIsNotHurtByIt) {
  EXPECT_EQ(HurtFrom100To5000(Took(99, 10, Outcome::kFailed)), 0u);
}

}  // namespace
}  // namespace paramo::chaos
