// The rules of a run's tables as plain arithmetic on one number, from
// docs/rules.md: what logs are replayed by. Nothing of server/rule is in it, so
// that the two can disagree.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace paramo::chaos {

// A row of one element.
struct ScalarRow {
  float value = 0;
  float mean = 0;     // adam
  float square = 0;   // adagrad: the sum of squares; adam: their mean
  uint32_t step = 0;  // adam
};

class ScalarRule {
 public:
  // "sgd", "adagrad" or "adam".
  explicit ScalarRule(std::string name);

  const std::string& name() const { return name_; }
  // Whether a row remembers more than its value. Else it counts pushes.
  bool has_state() const { return name_ != "sgd"; }
  // All of them, so that no default of the server counts.
  const std::map<std::string, double>& params() const { return params_; }

  // What push `number` of a client adds to its rows. Where a row counts pushes
  // it is -1; else no two neighbours are alike, so that order shows.
  float Gradient(uint64_t number) const;

  // One more step of the row.
  void Apply(float gradient, ScalarRow& row) const;

 private:
  void Adagrad(float gradient, ScalarRow& row) const;
  void Adam(float gradient, ScalarRow& row) const;

  const std::string name_;
  const std::map<std::string, double> params_;
};

}  // namespace paramo::chaos
