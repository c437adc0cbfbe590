#include "worker/step/job_optimizer.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/model/rule_schema.h"

namespace paramo {
namespace {

constexpr int64_t kLocalStepsMax = 65536;  // as a batch's examples
constexpr int64_t kClocksMax = int64_t{1} << 53;
// Bounds are above 0, and the servers keep them in f32.
constexpr NumberRange kBound = {1e-30, 1e30};

// The hyper-parameters of `rule` are keys beside its name. The learning rate is
// compulsory unless `parameters` has one already.
void ReadParameters(YamlMap& map, const RuleSchema& rule,
                    std::map<std::string, double>& parameters) {
  for (const RuleSchema::Parameter& parameter : rule.parameters) {
    double value = parameter.default_value;
    map.Number(parameter.name, value, {parameter.min, parameter.max});
    if (map.Find(parameter.name) != nullptr) {
      parameters[parameter.name] = value;
    } else if (parameter.name == absl::string_view("lr") &&
               parameters.count("lr") == 0) {
      map.Required();
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

void ReadAveraging(YamlMap& averaging, JobFile& job) {
  Averaging& outer = job.averaging;
  averaging.Int("local_steps", outer.local_steps, {1, kLocalStepsMax})
      .Required();
  outer.rule = "sgd";
  averaging.Choice("rule", outer.rule, {"sgd", "nesterov"});
  outer.rule_params["lr"] = 1;  // plain averaging
  ReadParameters(averaging, *FindRuleSchema(outer.rule), outer.rule_params);
}

absl::Status CheckAveraging(const YamlNode& root, const JobFile& job) {
  const YamlNode* averaging = root.Find("averaging");
  if (averaging == nullptr) return absl::OkStatus();
  if (!job.dense()) {
    return averaging->Error(absl::StrCat(
        "a model of kind ", job.model_kind,
        " pulls the rows of one step only, so there is no copy to make several "
        "steps on; leave this out"));
  }
  if (!job.sync.has_rounds()) {
    return averaging->Error(absl::StrCat(
        "models are averaged in rounds, which sync ", job.sync.ToString(),
        " does not have; set sync to bsp, bsp+B or round:Q"));
  }
  const YamlNode& optimizer = *root.Find("optimizer");
  if (job.rule != "sgd") {
    return optimizer.Find("rule")->Error(
        "local steps are of sgd; set this to sgd, and averaging.rule to the "
        "rule that is to act on the average");
  }
  if (const YamlNode* clipping = optimizer.Find("clipping")) {
    return clipping->Error(
        "would bound a sum of several steps' gradients; leave it out, or "
        "leave out averaging");
  }
  const size_t steps = job.averaging.local_steps;
  if (job.worker_batch() % steps != 0) {
    return averaging->Find("local_steps")
        ->Error(absl::StrCat("a worker's ", job.worker_batch(),
                             " examples of a round cannot be cut into ", steps,
                             " equal steps; make data.global_batch a multiple "
                             "of ",
                             job.workers * steps, " (workers x local_steps)"));
  }
  return absl::OkStatus();
}

}  // namespace paramo
