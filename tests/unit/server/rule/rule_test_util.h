// Rows and gradients for the tests of rules.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "server/rule/row_header.h"
#include "server/rule/rule.h"

namespace paramo {

// `n` whole records, zeroed, with 16 guard bytes behind each.
class TestRows {
 public:
  TestRows(size_t n, uint32_t dim, size_t slot_floats)
      : dim_(dim),
        slot_floats_(slot_floats),
        stride_((sizeof(RowHeader) + 4 * (dim + slot_floats) + 31) / 16 * 16),
        bytes_(n * stride_) {
    for (size_t i = 0; i < n; ++i) rows_.push_back(bytes_.data() + i * stride_);
  }
  TestRows(const TestRows& other)
      : dim_(other.dim_),
        slot_floats_(other.slot_floats_),
        stride_(other.stride_),
        bytes_(other.bytes_) {
    for (size_t i = 0; i < other.rows_.size(); ++i) {
      rows_.push_back(bytes_.data() + i * stride_);
    }
  }
  TestRows& operator=(const TestRows&) = delete;

  std::byte* row(size_t i) { return rows_[i]; }
  RowHeader& header(size_t i) {
    return *reinterpret_cast<RowHeader*>(rows_[i]);
  }
  // Array 0 is the value, 1 + k is slot k, where those before it are per
  // element.
  float* array(size_t i, uint32_t array) {
    return reinterpret_cast<float*>(rows_[i] + sizeof(RowHeader)) +
           size_t{array} * dim_;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::byte* const* rows() const { return rows_.data(); }
  size_t n() const { return rows_.size(); }
  uint32_t dim() const { return dim_; }
  size_t slot_floats() const { return slot_floats_; }

  std::vector<std::byte> RowBytes(size_t i) const {
    return {rows_[i], rows_[i] + stride_};
  }

 private:
  uint32_t dim_;
  size_t slot_floats_;
  size_t stride_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte*> rows_;
};

// `n` gradients of `dim` floats at addresses of the given remainder mod 4.
class TestGrads {
 public:
  TestGrads(size_t n, uint32_t dim, size_t misalignment = 0)
      : dim_(dim), bytes_(n * dim * sizeof(float) + 4), start_(misalignment) {
    for (size_t i = 0; i < n; ++i) {
      grads_.push_back(reinterpret_cast<const float*>(bytes_.data() + start_ +
                                                      i * dim * sizeof(float)));
    }
  }
  TestGrads(const TestGrads&) = delete;
  TestGrads& operator=(const TestGrads&) = delete;

  void Set(size_t i, uint32_t element, float value) {
    std::memcpy(bytes_.data() + start_ + (i * dim_ + element) * sizeof(float),
                &value, sizeof(float));
  }
  const float* const* grads() const { return grads_.data(); }

 private:
  uint32_t dim_;
  std::vector<char> bytes_;
  size_t start_;
  std::vector<const float*> grads_;
};

inline std::unique_ptr<Rule> MustMake(
    const std::string& name, const std::map<std::string, double>& params = {}) {
  auto rule = MakeRule(name, params);
  PARAMO_CHECK(rule.ok());
  return std::move(*rule);
}

// One step of one row of one element: for steps worked by hand.
inline uint32_t StepOne(const Rule& rule, TestRows& rows, float grad) {
  const float* grads[] = {&grad};
  TestRows twin(rows);
  const uint32_t skipped =
      rule.Apply({.dim = 1, .rows = rows.rows(), .grads = grads, .n = 1});
  const uint32_t twin_skipped =
      rule.ApplyScalar({.dim = 1, .rows = twin.rows(), .grads = grads, .n = 1});
  PARAMO_CHECK(skipped == twin_skipped && twin.bytes() == rows.bytes());
  return skipped;
}

}  // namespace paramo
