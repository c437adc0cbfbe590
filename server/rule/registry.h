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
RuleEntry AdamwEntry();
RuleEntry FtrlEntry();
RuleEntry MomentumEntry();
RuleEntry NesterovEntry();
RuleEntry RmspropEntry();
RuleEntry RowwiseAdagradEntry();
RuleEntry SgdEntry();

// The learning rate as every rule takes it.
inline RuleParam LearningRate(double default_value) {
  return {.name = "lr",
          .default_value = default_value,
          .min = 0,
          .max = 1e6,
          .help = "learning rate, per step; 0 freezes the rows' movement"};
}

// A share of the past that is kept: 0 up to but not including 1.
inline RuleParam KeptShare(const char* name, double default_value,
                           const char* help) {
  return {.name = name,
          .default_value = default_value,
          .min = 0,
          .max = 1,
          .below_max = true,
          .help = help};
}

// What keeps a root from being divided by when it is 0: 0 / 0 at the first zero
// gradient. 1e-30 is still a normal f32.
inline RuleParam Epsilon(double default_value) {
  return {.name = "eps",
          .default_value = default_value,
          .min = 1e-30,
          .max = 1,
          .help = "added to the root; bounds early steps"};
}

}  // namespace paramo
