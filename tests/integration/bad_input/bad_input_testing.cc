#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {

std::unique_ptr<TestCluster> BadInputTest::cluster_;
v1::Table BadInputTest::victim_;
v1::Table BadInputTest::good_;

}  // namespace paramo::test
