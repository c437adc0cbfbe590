// GoogleTest's main, for every test program. A suite whose set-up failed has
// its tests "skipped", and CTest takes a skipped test for no failure: here it
// ends the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace {

class SuiteGuard : public testing::EmptyTestEventListener {
  void OnTestSuiteEnd(const testing::TestSuite& suite) override {
    if (!suite.ad_hoc_test_result().Failed()) return;
    std::fprintf(stderr, "set-up or tear-down of %s failed\n", suite.name());
    std::abort();
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);  // GoogleTest's too
  testing::UnitTest::GetInstance()->listeners().Append(new SuiteGuard);
  return RUN_ALL_TESTS();
}
