#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include <gtest/gtest.h>

#include "server/rule/initializer.h"
#include "server/rule/normal_quantile.h"

namespace paramo {
namespace {

using Kind = Initializer::Kind;

Kind KindOf(const std::string& name) {
  if (name == "zeros") return Kind::kZeros;
  if (name == "constant") return Kind::kConstant;
  if (name == "uniform") return Kind::kUniform;
  if (name == "normal") return Kind::kNormal;
  EXPECT_EQ(name, "xavier");
  return Kind::kXavier;
}

double DoubleOf(const std::string& hex) {
  const uint64_t bits = std::strtoull(hex.c_str(), nullptr, 16);
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

TEST(Initializer, MatchesGoldenFileBitForBit) {
  std::ifstream file(PARAMO_SOURCE_DIR "/tests/golden/initializers.txt");
  int rows = 0, quantiles = 0;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text[0] == '#') continue;
    std::istringstream line(text);
    std::string kind;
    line >> kind;
    if (kind == "quantile") {
      std::string p, expected;
      line >> p >> expected;
      EXPECT_EQ(NormalQuantile(DoubleOf(p)), DoubleOf(expected)) << text;
      ++quantiles;
      continue;
    }
    Initializer initializer{.kind = KindOf(kind)};
    uint64_t seed;
    Key key;
    uint32_t dim;
    line >> initializer.a >> initializer.fan_in >> initializer.fan_out >>
        seed >> key >> dim;
    ASSERT_TRUE(initializer.Validate().ok()) << text;
    std::vector<uint32_t> words(dim);
    initializer.Fill(seed, key, words.data(), dim);
    for (uint32_t i = 0; i < dim; ++i) {
      std::string word;
      line >> word;
      EXPECT_EQ(words[i], std::strtoul(word.c_str(), nullptr, 16))
          << kind << " seed " << seed << " key " << key << " element " << i;
    }
    ++rows;
  }
  EXPECT_EQ(rows, 40);
  EXPECT_EQ(quantiles, 127);
}

TEST(Initializer, WritesToAnyAddress) {
  const Initializer initializer{.kind = Kind::kUniform, .a = 1};
  float aligned[5];
  initializer.Fill(1, 2, aligned, 5);
  char bytes[24];
  initializer.Fill(1, 2, bytes + 1, 5);
  EXPECT_EQ(std::memcmp(aligned, bytes + 1, sizeof(aligned)), 0);
}

TEST(Initializer, UniformStaysBelowItsWidthAndFillsIt) {
  const Initializer initializer{.kind = Kind::kUniform, .a = 0.3};
  std::vector<float> values(100000);
  initializer.Fill(5, 6, values.data(), 100000);
  double sum = 0;
  for (const float value : values) {
    ASSERT_GE(value, -0.3f);
    ASSERT_LT(value, 0.3f);
    sum += value;
  }
  // The mean of 10^5 draws deviates by 0.3 / sqrt(3 x 10^5) = 0.00055.
  EXPECT_NEAR(sum / 100000, 0, 5 * 0.00055);
}

TEST(Initializer, NormalHasItsMoments) {
  const Initializer initializer{.kind = Kind::kNormal, .a = 2};
  constexpr int kN = 100000;
  std::vector<float> values(kN);
  initializer.Fill(5, 6, values.data(), kN);
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += value * value;
  }
  // Standard errors: mean 2 / sqrt(n) = 0.0063; mean square
  // 4 sqrt(2 / n) = 0.018.
  EXPECT_NEAR(sum / kN, 0, 5 * 0.0063);
  EXPECT_NEAR(squares / kN, 4, 5 * 0.018);
}

TEST(Initializer, SeedAndKeyBothMatter) {
  const Initializer initializer{.kind = Kind::kUniform, .a = 1};
  float base[4], other_seed[4], other_key[4];
  initializer.Fill(1, 1, base, 4);
  initializer.Fill(2, 1, other_seed, 4);
  initializer.Fill(1, 2, other_key, 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NE(base[i], other_seed[i]);
    EXPECT_NE(base[i], other_key[i]);
  }
}

TEST(Initializer, RefusesWhatWouldNotBeFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Kind kind : {Kind::kConstant, Kind::kUniform, Kind::kNormal}) {
    for (const double a : {nan, infinity, -infinity, 1e31, -1e31}) {
      EXPECT_EQ((Initializer{.kind = kind, .a = a}).Validate().code(),
                absl::StatusCode::kInvalidArgument);
    }
    EXPECT_TRUE((Initializer{.kind = kind, .a = 1e30}).Validate().ok());
  }
  EXPECT_TRUE((Initializer{.kind = Kind::kConstant, .a = -1}).Validate().ok());
  for (const Kind kind : {Kind::kUniform, Kind::kNormal}) {
    EXPECT_FALSE((Initializer{.kind = kind, .a = -1}).Validate().ok());
  }
  EXPECT_FALSE((Initializer{.kind = Kind::kXavier}).Validate().ok());
  EXPECT_TRUE(
      (Initializer{.kind = Kind::kXavier, .fan_in = 1}).Validate().ok());
  EXPECT_FALSE((Initializer{.kind = static_cast<Kind>(5)}).Validate().ok());
}

}  // namespace
}  // namespace paramo
