// What a table is: its width, how rows start, and how gradients change them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace paramo {
inline namespace sdk {

// The arithmetic that turns a row and a gradient into a row.
struct UpdateRule {
  // "adagrad", "adam", "adamw", "ftrl", "momentum", "nesterov", "rmsprop",
  // "rowwise_adagrad", "sgd"; docs/rules.md says when to use which.
  std::string name = "sgd";
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

// Bounds on a row's gradient, applied before the rule; 0 = off. Both: by value
// first.
struct Clipping {
  double value = 0;  // each element is cut to +-value
  double norm = 0;   // a row longer than this is scaled down to it
};

// The factor on the rule's learning rate, by the clock of the push (of the
// round, in jobs with rounds): (clock + 1) / warmup at first, then by kind with
// t = clock - warmup.
struct Schedule {
  enum class Kind {
    kConstant = 0,  // 1
    kStep = 1,      // decay ^ floor(t / period)
    kCosine = 2,    // floor + (1 - floor) (1 + cos(pi t / period)) / 2, then
                    // floor
  };
  Kind kind = Kind::kConstant;
  uint64_t warmup = 0;  // clocks; 0 = none
  uint64_t period = 0;  // clocks, at least 1; kStep and kCosine only
  double decay = 0;     // 0 to 1; kStep only
  double floor = 0;     // 0 to 1; kCosine only
};

// When a push counts as stored on a replica, and so what an acknowledged push
// survives. Whatever the level, every push is in the servers' logs, in order.
enum class Durability {
  kLogged = 0,      // kill -9 of every server
  kReplicated = 1,  // loss of one server, when there is another replica
  kSynced = 2,      // power loss everywhere; costs a disk sync, shared by many
};

struct TableSpec {
  std::string name;  // [a-z0-9][a-z0-9._-]{0,127}
  uint32_t dim = 0;  // floats of one row, 1 to 65,536
  // Set for a dense tensor, row-major: its rows are blocks of `dim` elements,
  // key = block number; the last block may be partly unused. Empty: sparse.
  std::vector<uint64_t> shape;
  UpdateRule rule;
  Initializer initializer;
  NonFinite non_finite;
  uint64_t seed = 0;  // of the initializer; 0 = chosen at creation
  Clipping clipping;
  Schedule schedule;
  // For async and ssp jobs. Divides a push's learning rate by 1 + the steps
  // that the fastest live worker is ahead of it.
  bool staleness_scaling = false;
  // lambda of DC-ASGD, 0 to 1,000, 0 = off; for pushes with PushPart::pulled.
  double delay_compensation = 0;
  Durability durability = Durability::kLogged;
  // How clients send gradients and get rows that say nothing else: "f32",
  // "f16", "bf16" or "int8" (docs/formats/codecs.md). Rows are kept in f32.
  std::string codec = "f32";
  // Bytes of the table's rows that may be in memory, on all servers together
  // for one replica; 0 = all. The others are read back as they are used.
  uint64_t memory_budget = 0;
};

// What an altered table gets; what is absent stays as it is.
struct TableChanges {
  std::optional<UpdateRule> rule;  // its slots must be those of the old one
  std::optional<NonFinite> non_finite;
  std::optional<Clipping> clipping;
  std::optional<Schedule> schedule;
  std::optional<bool> staleness_scaling;
  std::optional<double> delay_compensation;
  std::optional<uint64_t> memory_budget;
};

// A table as the catalogue has it.
struct TableInfo {
  uint32_t id = 0;
  uint32_t version = 0;  // grows with every alter
  TableSpec spec;
};

}  // namespace sdk
}  // namespace paramo
