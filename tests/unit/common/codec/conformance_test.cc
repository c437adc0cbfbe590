// What every codec must do. A new codec is tested here by being listed.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/random.h"
#include "common/codec/codec.h"

namespace paramo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr uint64_t kSeed = 20;

// Of every magnitude there is, some zeros too; one in `rare` is not finite.
float RandomFloat(BitGen& gen, uint64_t rare) {
  if (rare != 0 && gen.Below(rare) == 0) {
    const float strange[] = {kInfinity, -kInfinity, kNaN, -kNaN};
    return strange[gen.Below(4)];
  }
  if (gen.Below(16) == 0) return gen.Below(2) == 0 ? 0.0f : -0.0f;
  const double unit = 2 * gen.Uniform() - 1;
  return static_cast<float>(
      std::ldexp(unit, static_cast<int>(gen.Below(277)) - 149));
}

std::vector<float> RandomRow(BitGen& gen, uint32_t dim, uint64_t rare = 0) {
  std::vector<float> row(dim);
  for (float& value : row) value = RandomFloat(gen, rare);
  return row;
}

// As gradients are: magnitudes within a few powers of ten of each other.
std::vector<float> GradientRow(BitGen& gen, uint32_t dim) {
  std::vector<float> row(dim);
  const int power = static_cast<int>(gen.Below(20)) - 16;
  for (float& value : row) {
    const double unit = 2 * gen.Uniform() - 1;
    value = static_cast<float>(std::ldexp(unit * unit * unit, power));
  }
  return row;
}

std::vector<uint32_t> Dims() {
  std::vector<uint32_t> dims = {100, 127, 128, 683, 2049};
  for (uint32_t dim = 1; dim <= 40; ++dim) dims.push_back(dim);
  return dims;
}

class CodecConformance : public testing::TestWithParam<std::string> {
 protected:
  const Codec& codec_ = **FindCodec(GetParam());

  std::vector<uint8_t> Encode(const std::vector<float>& row,
                              uint64_t seed = 0) const {
    const auto dim = static_cast<uint32_t>(row.size());
    std::vector<uint8_t> bytes(codec_.row_bytes(dim));
    codec_.encode(row.data(), dim, seed, bytes.data());
    return bytes;
  }
  std::vector<float> Decode(const std::vector<uint8_t>& bytes,
                            uint32_t dim) const {
    std::vector<float> row(dim);
    codec_.decode(bytes.data(), dim, row.data());
    return row;
  }
  std::vector<float> RoundTrip(const std::vector<float>& row,
                               uint64_t seed = 0) const {
    return Decode(Encode(row, seed), static_cast<uint32_t>(row.size()));
  }
};

TEST_P(CodecConformance, EncodeEqualsItsScalarTwinAtEveryTailAndAlignment) {
  BitGen gen(kSeed);
  for (const uint32_t dim : Dims()) {
    for (size_t misalignment = 0; misalignment < 5; ++misalignment) {
      for (const uint64_t seed : {uint64_t{0}, gen.Next() | 1}) {
        const std::vector<float> row =
            RandomRow(gen, dim, /*rare=*/misalignment == 0 ? 8 : 0);
        std::vector<uint8_t> in(4 * dim + misalignment);
        std::memcpy(in.data() + misalignment, row.data(), 4 * dim);
        const size_t bytes = codec_.row_bytes(dim);
        std::vector<uint8_t> vector(bytes + misalignment, 0xee);
        std::vector<uint8_t> scalar(vector);
        codec_.encode(reinterpret_cast<const float*>(in.data() + misalignment),
                      dim, seed, vector.data() + misalignment);
        codec_.encode_scalar(row.data(), dim, seed,
                             scalar.data() + misalignment);
        ASSERT_EQ(vector, scalar) << "dim " << dim << " seed " << seed;
      }
    }
  }
}

TEST_P(CodecConformance, DecodeEqualsItsScalarTwinForAnyBytes) {
  BitGen gen(kSeed);
  for (const uint32_t dim : Dims()) {
    for (size_t misalignment = 0; misalignment < 5; ++misalignment) {
      std::vector<uint8_t> bytes(codec_.row_bytes(dim) + misalignment);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(gen.Next());
      std::vector<uint8_t> vector(4 * dim), scalar(4 * dim);
      codec_.decode(bytes.data() + misalignment, dim,
                    reinterpret_cast<float*>(vector.data()));
      codec_.decode_scalar(bytes.data() + misalignment, dim,
                           reinterpret_cast<float*>(scalar.data()));
      ASSERT_EQ(vector, scalar) << "dim " << dim;
    }
  }
}

TEST_P(CodecConformance, ErrorIsWithinItsBound) {
  BitGen gen(kSeed);
  for (int i = 0; i < 20000; ++i) {
    const auto dim = static_cast<uint32_t>(1 + gen.Below(70));
    const std::vector<float> row =
        i % 2 == 0 ? GradientRow(gen, dim) : RandomRow(gen, dim);
    double largest = 0;
    for (float value : row)
      largest = std::max<double>(largest, std::abs(value));
    for (const uint64_t seed : {uint64_t{0}, gen.Next() | 1}) {
      const std::vector<float> back = RoundTrip(row, seed);
      for (uint32_t j = 0; j < dim; ++j) {
        const double sent = std::clamp<double>(row[j], -codec_.error.largest,
                                               codec_.error.largest);
        const double bound = codec_.error.of_value * std::abs(sent) +
                             codec_.error.of_row * largest +
                             codec_.error.absolute;
        ASSERT_LE(std::abs(back[j] - sent), bound)
            << row[j] << " in a row of " << dim << " up to " << largest;
        ASSERT_TRUE(std::isfinite(back[j])) << row[j];
        if (row[j] == 0) {
          ASSERT_EQ(back[j], 0);
        }
      }
    }
  }
}

TEST_P(CodecConformance, LargestValuesStayFinite) {
  for (const float value : {kLargest, -kLargest, 65520.0f, 0x1.ffp+127f}) {
    for (const uint64_t seed : {uint64_t{0}, kSeed}) {
      for (const float back : RoundTrip(std::vector<float>(19, value), seed)) {
        EXPECT_TRUE(std::isfinite(back)) << value;
        EXPECT_EQ(std::signbit(back), std::signbit(value));
      }
    }
  }
}

TEST_P(CodecConformance, ARowThatIsNotFiniteStaysSo) {
  for (const float strange : {kInfinity, -kInfinity, kNaN, -kNaN}) {
    for (uint32_t at = 0; at < 19; ++at) {
      std::vector<float> row(19, 1.0f);
      row[at] = strange;
      const std::vector<uint8_t> bytes = Encode(row, kSeed);
      const std::vector<float> back = Decode(bytes, 19);
      EXPECT_FALSE(std::isfinite(back[at])) << strange << " at " << at;
      EXPECT_TRUE(codec_.valid == nullptr || codec_.valid(bytes.data(), 19));
    }
  }
}

TEST_P(CodecConformance, WhatItEncodesIsValid) {
  if (codec_.valid == nullptr) return;
  BitGen gen(kSeed);
  for (int i = 0; i < 2000; ++i) {
    const std::vector<float> row = RandomRow(gen, 33, /*rare=*/i % 100);
    EXPECT_TRUE(codec_.valid(Encode(row, gen.Next() | 1).data(), 33));
    EXPECT_TRUE(codec_.valid(Encode(row).data(), 33));
  }
}

TEST_P(CodecConformance, TheSameSeedGivesTheSameBytes) {
  BitGen gen(kSeed);
  const std::vector<float> row = GradientRow(gen, 64);
  EXPECT_EQ(Encode(row, 7), Encode(row, 7));
  EXPECT_EQ(Encode(row, 0), Encode(row, 0));
  if (codec_.unbiased && codec_.error.of_row > 0) {
    EXPECT_NE(Encode(row, 7), Encode(row, uint64_t{7} << 32 | 1));
  }
}

// The mean of 4,096 encodings with seeds as pushes have them is within five
// standard errors of the value; an error of up to one step has a standard
// deviation of half a step at most.
TEST_P(CodecConformance, ExpectationOverSeedsIsTheValueWhereItSaysSo) {
  if (!codec_.unbiased) return;
  constexpr int kPushes = 4096;
  BitGen gen(kSeed);
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> row = GradientRow(gen, 37);
    double largest = 0;
    for (float value : row)
      largest = std::max<double>(largest, std::abs(value));
    std::vector<double> sum(row.size());
    for (uint64_t seq = 1; seq <= kPushes; ++seq) {
      const std::vector<float> back =
          RoundTrip(row, CodecSeed(/*session=*/17, seq, /*key=*/5));
      for (size_t j = 0; j < row.size(); ++j) sum[j] += back[j];
    }
    const double step = codec_.error.of_row * largest + codec_.error.absolute;
    const double tolerance = 5 * step / 2 / std::sqrt(kPushes);
    for (size_t j = 0; j < row.size(); ++j) {
      EXPECT_NEAR(sum[j] / kPushes, row[j], tolerance) << "step " << step;
    }
  }
}

// The same over the rows of one push: what is dropped of many keys does not
// pile up.
TEST_P(CodecConformance, ExpectationOverKeysIsTheValueWhereItSaysSo) {
  if (!codec_.unbiased) return;
  constexpr int kKeys = 4096;
  BitGen gen(kSeed);
  const std::vector<float> row = GradientRow(gen, 37);
  double largest = 0;
  for (float value : row) largest = std::max<double>(largest, std::abs(value));
  std::vector<double> sum(row.size());
  for (uint64_t key = 0; key < kKeys; ++key) {
    const std::vector<float> back =
        RoundTrip(row, CodecSeed(/*session=*/17, /*seq=*/3, key));
    for (size_t j = 0; j < row.size(); ++j) sum[j] += back[j];
  }
  const double step = codec_.error.of_row * largest + codec_.error.absolute;
  for (size_t j = 0; j < row.size(); ++j) {
    EXPECT_NEAR(sum[j] / kKeys, row[j], 5 * step / 2 / std::sqrt(kKeys));
  }
}

TEST_P(CodecConformance, SumsOfEncodedRowsAreRowsWhereItSaysSo) {
  if (!codec_.linear) return;
  BitGen gen(kSeed);
  const std::vector<float> a = GradientRow(gen, 21), b = GradientRow(gen, 21);
  std::vector<float> both(21);
  for (size_t j = 0; j < 21; ++j) both[j] = a[j] + b[j];
  const std::vector<float> back_a = RoundTrip(a), back_b = RoundTrip(b);
  const std::vector<float> back = RoundTrip(both);
  for (size_t j = 0; j < 21; ++j) EXPECT_EQ(back[j], back_a[j] + back_b[j]);
}

TEST_P(CodecConformance, InPlaceMeansFloatsAsTheyAre) {
  BitGen gen(kSeed);
  const std::vector<float> row = RandomRow(gen, 9);
  const std::vector<uint8_t> bytes = Encode(row);
  std::vector<float> scratch(9);
  const auto* at = reinterpret_cast<const float*>(bytes.data());
  const float* floats = codec_.Floats(at, 9, 1, scratch.data());
  EXPECT_EQ(floats == at, codec_.in_place);
  if (codec_.in_place) {
    EXPECT_EQ(std::memcmp(bytes.data(), row.data(), 36), 0);
  }
}

TEST_P(CodecConformance, NeedsNoMemoryThatClientsDoNotHave) {
  EXPECT_FALSE(codec_.needs_memory)
      << "the client has nowhere to keep what encoding dropped";
}

INSTANTIATE_TEST_SUITE_P(EveryCodec, CodecConformance, testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const Codec& codec : ListCodecs())
                             names.push_back(codec.name);
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace paramo
