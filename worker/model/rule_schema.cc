#include "worker/model/rule_schema.h"

namespace paramo {
namespace {

using Parameter = RuleSchema::Parameter;

// Above 0, so that a job whose rows stand still is refused. Servers allow 0:
// it freezes a table.
Parameter LearningRate(double default_value) {
  return {"lr", default_value, 1e-30, 1e6};
}

// A share of the past that is kept, below 1.
Parameter KeptShare(const char* name, double default_value) {
  return {name, default_value, 0, 0.999999};
}

Parameter Epsilon(double default_value) {
  return {"eps", default_value, 1e-30, 1};
}

Parameter Penalty(const char* name, double default_value) {
  return {name, default_value, 0, 1e6};
}

}  // namespace

const std::vector<RuleSchema>& RuleSchemas() {
  static const auto* const kSchemas = new std::vector<RuleSchema>{
      {"adagrad", {LearningRate(0.01), Epsilon(1e-10)}},
      {"adam",
       {LearningRate(0.001), KeptShare("beta1", 0.9), KeptShare("beta2", 0.999),
        Epsilon(1e-8)}},
      {"adamw",
       {LearningRate(0.001), KeptShare("beta1", 0.9), KeptShare("beta2", 0.999),
        Epsilon(1e-8), KeptShare("weight_decay", 0.01)}},
      {"ftrl",
       {{"lr", 0.1, 1e-6, 1e6},
        Penalty("beta", 1),
        Penalty("l1", 0),
        Penalty("l2", 0)}},
      {"momentum", {LearningRate(0.01), KeptShare("momentum", 0.9)}},
      {"nesterov", {LearningRate(0.01), KeptShare("momentum", 0.9)}},
      {"rmsprop", {LearningRate(0.01), KeptShare("rho", 0.99), Epsilon(1e-8)}},
      {"rowwise_adagrad", {LearningRate(0.01), Epsilon(1e-10)}},
      {"sgd", {LearningRate(0.01)}}};
  return *kSchemas;
}

const RuleSchema* FindRuleSchema(absl::string_view name) {
  for (const RuleSchema& schema : RuleSchemas()) {
    if (name == schema.name) return &schema;
  }
  return nullptr;
}

}  // namespace paramo
