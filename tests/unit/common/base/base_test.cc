#include <gtest/gtest.h>

#include <set>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace paramo {
namespace {

TEST(StatusTest, AnnotateKeepsTheCode) {
  absl::Status status = Annotate(absl::NotFoundError("gone"), "table ads");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ToString(status), "NOT_FOUND: table ads: gone");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::Status Quarter(int n, int& out) {
  PARAMO_ASSIGN_OR_RETURN(int half, Half(n));
  PARAMO_ASSIGN_OR_RETURN(out, Half(half));
  return absl::OkStatus();
}

TEST(StatusTest, MacrosReturnTheFirstError) {
  int out = 0;
  EXPECT_TRUE(Quarter(12, out).ok());
  EXPECT_EQ(out, 3);
  EXPECT_FALSE(Quarter(6, out).ok());
}

TEST(LogTest, HostileTextCannotForgeALine) {
  EXPECT_EQ(Printable("a\nI 12:00:00 forged"), "a\\nI 12:00:00 forged");
  EXPECT_EQ(Printable(std::string("\x1b[2J\0x", 6)), "\\x1b[2J\\x00x");
  EXPECT_EQ(Printable(std::string(1000, 'a')).size(), 259u);
}

// Splitmix64's published outputs for seed 1234567.
TEST(RandomTest, Mix64IsSplitmix64) {
  BitGen gen(1234567);
  EXPECT_EQ(gen.Next(), 6457827717110365317ull);
  EXPECT_EQ(gen.Next(), 3203168211198807973ull);
  EXPECT_EQ(gen.Next(), 9817491932198370423ull);
}

TEST(RandomTest, BelowStaysBelowAndReachesAll) {
  BitGen gen(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(gen.Below(7));
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.rbegin(), 6u);
}

TEST(RandomTest, RandomIdsAreNotZeroAndDiffer) {
  uint64_t a = MakeRandomId();
  EXPECT_NE(a, 0u);
  EXPECT_NE(a, MakeRandomId());
}

}  // namespace
}  // namespace paramo
