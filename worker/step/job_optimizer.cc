#include "worker/step/job_optimizer.h"

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "worker/model/rule_schema.h"

namespace paramo {
namespace {

constexpr int64_t kClocksMax = int64_t{1} << 53;
// Bounds are above 0, and the servers keep them in f32.
constexpr NumberRange kBound = {1e-30, 1e30};

// The hyper-parameters of `rule` are keys beside its name.
void ReadParameters(YamlMap& map, const RuleSchema& rule,
                    std::map<std::string, double>& parameters) {
  for (const RuleSchema::Parameter& parameter : rule.parameters) {
    double value = parameter.default_value;
    map.Number(parameter.name, value, {parameter.min, parameter.max});
    if (parameter.name == absl::string_view("lr")) map.Required();
    if (map.Find(parameter.name) != nullptr) {
      parameters[parameter.name] = value;
    }
  }
}

void ReadClipping(YamlMap& map, Clipping& clipping) {
  map.Number("value", clipping.value, kBound);
  map.Number("norm", clipping.norm, kBound);
}

// A map without keys would be no error and change nothing.
void RefuseEmpty(YamlMap& map, const char* key, const char* what_to_do) {
  const YamlNode* node = map.Find(key);
  if (node != nullptr && node->items.empty()) {
    map.Fail(node->Error(what_to_do));
  }
}

void ReadSchedule(YamlMap& map, Schedule& schedule) {
  std::string kind = "constant";
  map.Choice("kind", kind, {"constant", "step", "cosine"});
  map.Int("warmup", schedule.warmup, {1, kClocksMax});
  if (kind == "constant") return;
  map.Int("period", schedule.period, {1, kClocksMax}).Required();
  if (kind == "step") {
    schedule.kind = Schedule::Kind::kStep;
    map.Number("decay", schedule.decay, {0, 1}).Required();
  } else {
    schedule.kind = Schedule::Kind::kCosine;
    map.Number("floor", schedule.floor, {0, 1});
  }
}

}  // namespace

void ReadOptimizer(YamlMap& optimizer, JobFile& job) {
  std::vector<std::string> rules;
  for (const RuleSchema& rule : RuleSchemas()) rules.push_back(rule.name);
  optimizer.Choice("rule", job.rule, rules).Required();
  optimizer.Map("clipping",
                [&](YamlMap& map) { ReadClipping(map, job.clipping); });
  optimizer.Map("schedule",
                [&](YamlMap& map) { ReadSchedule(map, job.schedule); });
  RefuseEmpty(optimizer, "clipping", "give value, norm or both");
  RefuseEmpty(optimizer, "schedule", "give warmup, kind or both");
  const RuleSchema* rule = FindRuleSchema(job.rule);
  if (rule == nullptr) return;  // the error is recorded
  ReadParameters(optimizer, *rule, job.rule_params);
}

}  // namespace paramo
