#include "tests/chaos/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace paramo::chaos {
namespace {

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() {
    char name[] = "/tmp/paramo-test-XXXXXX";
    EXPECT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  ~LedgerTest() override { std::filesystem::remove_all(dir_); }

  std::string path() const { return dir_ + "/ledger"; }

  std::string dir_;
};

TEST_F(LedgerTest, WhatIsWrittenIsReadWhileItGrows) {
  auto writer = LedgerWriter::Create(path());
  ASSERT_TRUE(writer.ok()) << writer.status();
  LedgerReader reader(path());
  for (uint64_t n : {0, 1, 2, 3}) (*writer)->Begin(n);
  (*writer)->End(2, Outcome::kFailed);
  ASSERT_TRUE(reader.Poll().ok());
  ASSERT_EQ(reader.history().size(), 4u);
  EXPECT_EQ(reader.history()[2].outcome, Outcome::kFailed);
  EXPECT_EQ(reader.history()[0].outcome, Outcome::kOpen);
  (*writer)->End(0, Outcome::kAcked);
  (*writer)->End(1, Outcome::kUnknown);
  ASSERT_TRUE(reader.Poll().ok());
  EXPECT_EQ(reader.history()[0].outcome, Outcome::kAcked);
  EXPECT_EQ(reader.history()[1].outcome, Outcome::kUnknown);
  EXPECT_EQ(reader.history()[3].outcome, Outcome::kOpen);
  EXPECT_LE(reader.history()[0].begin_ns, reader.history()[0].end_ns);
}

TEST_F(LedgerTest, ALedgerThatIsNotThereYetIsEmpty) {
  LedgerReader reader(path());
  EXPECT_TRUE(reader.Poll().ok());
  EXPECT_TRUE(reader.history().empty());
}

TEST_F(LedgerTest, NoTwoProcessesShareOne) {
  ASSERT_TRUE(LedgerWriter::Create(path()).ok());
  EXPECT_EQ(LedgerWriter::Create(path()).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(LedgerTest, ALineCutShortByADeathWaits) {
  std::ofstream(path()) << "A 0 5\nK 0 9\nA 1 1";
  LedgerReader reader(path());
  ASSERT_TRUE(reader.Poll().ok());
  EXPECT_EQ(reader.history().size(), 1u);
  std::ofstream(path(), std::ios::app) << "2\n";
  ASSERT_TRUE(reader.Poll().ok());
  ASSERT_EQ(reader.history().size(), 2u);
  EXPECT_EQ(reader.history()[1].begin_ns, 12);
}

TEST_F(LedgerTest, WhatNoClientWritesIsRefused) {
  for (const char* lines :
       {"A 1 5\n", "K 0 5\n", "A 0 5\nA 0 6\n", "A 0 5\nK 0 6\nK 0 7\n",
        "A 0 5\nK 0 6\nU 0 7\n", "A 0 5\nX 0 6\n", "A 0\n", "A 0 5 6\n",
        "A zero 5\n", "A 0 soon\n", "nonsense\n"}) {
    LedgerReader reader("");
    EXPECT_EQ(reader.Add(lines).code(), absl::StatusCode::kDataLoss) << lines;
  }
}

}  // namespace
}  // namespace paramo::chaos
