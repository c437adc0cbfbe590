// What a table is: its width, how rows start, and how gradients change them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace paramo {
inline namespace sdk {

// The arithmetic that turns a row and a gradient into a row.
struct UpdateRule {
  std::string name = "sgd";  // "sgd", "momentum", "adagrad", "adam"
  // Hyper-parameters by name ("lr", ...); absent ones take their default.
  // Unknown names and values out of range are refused at creation.
  std::map<std::string, double> params;
};

// The value of a row that no push has touched: a pure function of the table's
// seed and the key, so it costs no memory.
struct Initializer {
  enum class Kind {
    kZeros = 0,
    kConstant = 1,  // a
    kUniform = 2,   // [-a, a)
    kNormal = 3,    // mean 0, standard deviation a
    kXavier = 4,    // uniform in +-sqrt(6 / (fan_in + fan_out))
  };
  Kind kind = Kind::kZeros;
  double a = 0;
  uint32_t fan_in = 0;
  uint32_t fan_out = 0;
};

// What to do with a NaN or an infinity in a gradient.
struct NonFinite {
  enum class Policy {
    kReject = 0,   // refuse that shard's part of the push; nothing changes
    kSkipRow = 1,  // leave the row unchanged and count it
    kClip = 2,     // NaN becomes 0; everything is cut to +-clip
  };
  Policy policy = Policy::kReject;
  double clip = 0;  // > 0; only with kClip
};

struct TableSpec {
  std::string name;   // [a-z0-9][a-z0-9._-]{0,127}
  uint32_t dim = 0;   // floats of one row, 1 to 65,536
  // Set for a dense tensor, row-major: its rows are blocks of `dim` elements,
  // key = block number; the last block may be partly unused. Empty: sparse.
  std::vector<uint64_t> shape;
  UpdateRule rule;
  Initializer initializer;
  NonFinite non_finite;
  uint64_t seed = 0;  // of the initializer; 0 = chosen at creation
};

// A table as the catalogue has it.
struct TableInfo {
  uint32_t id = 0;
  uint32_t version = 0;  // grows with every alter
  TableSpec spec;
};

}  // namespace sdk
}  // namespace paramo
