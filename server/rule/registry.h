// What a rule's file gives to the registry in rule.cc.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "server/rule/rule.h"

namespace paramo {

// Every parameter of the rule, checked, defaults filled in.
using RuleParamValues = std::map<std::string, double>;

struct RuleEntry {
  RuleInfo info;
  std::unique_ptr<Rule> (*make)(const RuleInfo& info,
                                const RuleParamValues& values);
};

RuleEntry AdagradEntry();
RuleEntry AdamEntry();
RuleEntry MomentumEntry();
RuleEntry SgdEntry();

// The learning rate as every rule takes it.
inline RuleParam LearningRate(double default_value) {
  return {.name = "lr",
          .default_value = default_value,
          .min = 0,
          .max = 1e6,
          .help = "learning rate, per step; 0 freezes the rows' movement"};
}

}  // namespace paramo
