#include "worker/step/job_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/config/file.h"
#include "common/config/yaml.h"
#include "worker/step/job_optimizer.h"
#include "worker/step/schedule_factor.h"

namespace paramo {
namespace {

constexpr size_t kLayersMax = 64;
constexpr int64_t kLayerMax = 65536;
constexpr int64_t kBatchMax = 65536;
constexpr int64_t kEpochsMax = 1'000'000;
constexpr int64_t kNegativesMax = 1000;
// Leaves room for ".w0" and the like behind it.
constexpr size_t kPrefixBytesMax = kTableNameBytesMax - 28;

// [a-z0-9][a-z0-9._-]*, at most `bytes_max`: the form of names of the cluster.
void CheckName(YamlMap& map, const char* key, const std::string& name,
               size_t bytes_max) {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  const bool form = !name.empty() && name[0] != '.' && name[0] != '_' &&
                    name[0] != '-' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                             c == '.' || c == '_' || c == '-';
                    });
  if (form && name.size() <= bytes_max) return;
  map.Fail(node->Error(absl::StrCat(
      "must be 1 to ", bytes_max,
      " characters of a-z, 0-9, `.`, `_` and `-`, the first a letter or a "
      "digit, for example fashion-2")));
}

void ReadData(YamlMap& data, JobFile& job) {
  data.Choice("format", job.data_format, {"idx", "libsvm", "debgraph"})
      .Required();
  if (job.data_format == "idx") {
    data.Text("dir", job.data_dir).Required();
  } else {
    data.Text("file", job.data_file).Required();
  }
  std::string partition = "random";
  data.Choice("partition", partition, {"random", "stratified", "contiguous"});
  job.partition = partition == "stratified"   ? Partition::kStratified
                  : partition == "contiguous" ? Partition::kContiguous
                                              : Partition::kRandom;
  data.Int("global_batch", job.global_batch, {1, kBatchMax}).Required();
  data.Int("batches_per_data_shard", job.batches_per_data_shard,
           {1, kBatchMax});
}

void ReadLayers(YamlMap& model, JobFile& job) {
  model
      .List("layers",
            [&](const YamlNode& node) -> absl::Status {
              PARAMO_ASSIGN_OR_RETURN(int64_t size,
                                      YamlInt(node, {1, kLayerMax}));
              job.layers.push_back(static_cast<size_t>(size));
              return absl::OkStatus();
            })
      .Required();
  const YamlNode* layers = model.Find("layers");
  if (layers == nullptr) return;
  if (job.layers.size() < 2 || job.layers.size() > kLayersMax) {
    model.Fail(layers->Error(
        absl::StrCat("give 2 to ", kLayersMax,
                     " sizes, from inputs to classes, such as [784, 10]")));
  } else if (job.model_kind == "softmax" && job.layers.size() != 2) {
    model.Fail(layers->Error(
        "softmax has no hidden layers: give [inputs, classes], or set "
        "model.kind to mlp"));
  }
}

// The kinds that learn from data of the job's format.
std::vector<std::string> KindsFor(const JobFile& job) {
  if (job.data_format == "libsvm") return {"logistic"};
  if (job.data_format == "debgraph") return {"link"};
  return {"mlp", "softmax"};
}

void ReadModel(YamlMap& model, JobFile& job) {
  model.Choice("kind", job.model_kind, KindsFor(job)).Required();
  if (job.dense()) {
    ReadLayers(model, job);
  } else if (job.model_kind == "link") {
    model.Int("dim", job.dim, {1, int64_t{kDimMax}});
    model.Int("negatives", job.negatives, {1, kNegativesMax});
  }
}

void ReadTables(YamlMap& tables, JobFile& job) {
  tables.Text("prefix", job.table_prefix);
  CheckName(tables, "prefix", job.table_prefix, kPrefixBytesMax);
  if (job.dense()) tables.Int("block", job.table_block, {1, int64_t{kDimMax}});
}

}  // namespace

BatchPlan JobFile::Plan(size_t examples) const {
  BatchPlan plan;
  plan.seed = seed;
  plan.examples = examples;
  plan.batch_examples = worker_batch();
  plan.batches_per_data_shard = batches_per_data_shard;
  plan.epochs = epochs;
  plan.partition = partition;
  return plan;
}

uint64_t JobFile::TensorSeed(size_t index) const {
  const uint64_t mixed = Mix64(Mix64(seed) + index);
  return mixed != 0 ? mixed : 1;
}

float JobFile::LocalRate(uint64_t clock) const {
  return static_cast<float>(rule_params.at("lr") *
                            ScheduleFactor(schedule, clock));
}

UpdateRule JobFile::TableRule() const {
  if (averaging.rule.empty()) return {rule, rule_params};
  UpdateRule outer{averaging.rule, averaging.rule_params};
  outer.params["lr"] *= rule_params.at("lr");
  return outer;
}

TableSpec JobFile::SpecOf(const std::string& name, size_t index) const {
  TableSpec spec;
  spec.name = absl::StrCat(table_prefix, ".", name);
  spec.rule = TableRule();
  spec.clipping = clipping;
  spec.schedule = schedule;
  spec.seed = TensorSeed(index);
  return spec;
}

absl::StatusOr<JobFile> ParseJobFile(absl::string_view text,
                                     absl::string_view file) {
  PARAMO_ASSIGN_OR_RETURN(const YamlNode root, ParseYaml(text, file));
  JobFile job;
  job.text = std::string(text.data(), text.size());
  int64_t version = 0;
  std::string sync = "bsp";
  YamlMap map(root);
  map.Int("version", version, {1, 1}).Required();
  map.Text("job", job.job).Required();
  CheckName(map, "job", job.job, kTableNameBytesMax);
  map.Text("sync", sync);
  map.Int("epochs", job.epochs, {1, kEpochsMax}).Required();
  map.Int("seed", job.seed, {0, INT64_MAX});
  map.Int("workers", job.workers, {1, int64_t{kWorkersPerJobMax}}).Required();
  map.Map("data", [&](YamlMap& data) { ReadData(data, job); }).Required();
  map.Map("model", [&](YamlMap& model) { ReadModel(model, job); }).Required();
  map.Map("optimizer", [&](YamlMap& rule) { ReadOptimizer(rule, job); })
      .Required();
  map.Map("averaging", [&](YamlMap& part) { ReadAveraging(part, job); });
  map.Map("tables", [&](YamlMap& tables) { ReadTables(tables, job); });
  PARAMO_RETURN_IF_ERROR(map.Finish());

  Result<Sync> parsed = Sync::Parse(sync);
  if (!parsed.ok()) {
    return root.Find("sync")->Error(parsed.status().message());
  }
  job.sync = *parsed;
  if (job.global_batch % job.workers != 0) {
    return root.Find("data")
        ->Find("global_batch")
        ->Error(absl::StrCat(job.global_batch, " examples cannot be shared by ",
                             job.workers,
                             " workers evenly; give a multiple of `workers`"));
  }
  PARAMO_RETURN_IF_ERROR(CheckAveraging(root, job));
  if (job.table_prefix.empty()) {
    job.table_prefix = job.job;
    if (job.table_prefix.size() > kPrefixBytesMax) {
      return root.Find("job")->Error(
          absl::StrCat("is too long to prefix table names; set tables.prefix "
                       "to at most ",
                       kPrefixBytesMax, " characters"));
    }
  }
  return job;
}

absl::StatusOr<JobFile> ReadJobFile(const std::string& file) {
  PARAMO_ASSIGN_OR_RETURN(std::string text,
                          ReadFileUpTo(file, kConfigBytesMax));
  return ParseJobFile(text, file);
}

}  // namespace paramo
