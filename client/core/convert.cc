#include "client/core/convert.h"

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/codec/codec.h"
#include "paramo/v1/control.pb.h"

namespace paramo::client {
namespace {

WorkerProgress FromProto(const v1::WorkerProgress& in) {
  WorkerProgress out;
  out.clock = in.clock();
  out.examples = in.examples();
  out.loss = in.loss();
  out.pushes = in.pushes();
  out.pulls = in.pulls();
  out.push_bytes = in.push_bytes();
  out.pull_bytes = in.pull_bytes();
  out.step_ms_p50 = in.step_ms_p50();
  out.step_ms_p99 = in.step_ms_p99();
  out.input_ms = in.input_ms();
  out.pull_ms = in.pull_ms();
  out.compute_ms = in.compute_ms();
  out.push_ms = in.push_ms();
  out.wait_ms = in.wait_ms();
  out.metric_name = in.metric_name();
  out.metric = in.metric();
  out.metric_epoch = in.metric_epoch();
  return out;
}

void ToProto(const UpdateRule& rule, v1::UpdateRule& out) {
  out.set_name(rule.name);
  for (const auto& param : rule.params) {
    (*out.mutable_params())[param.first] = param.second;
  }
}

void ToProto(const NonFinite& non_finite, v1::NonFinite& out) {
  out.set_policy(
      static_cast<v1::NonFinite::Policy>(static_cast<int>(non_finite.policy)));
  out.set_clip(non_finite.clip);
}

void ToProto(const Clipping& clipping, v1::Clipping& out) {
  out.set_value(clipping.value);
  out.set_norm(clipping.norm);
}

void ToProto(const Schedule& schedule, v1::Schedule& out) {
  out.set_kind(
      static_cast<v1::Schedule::Kind>(static_cast<int>(schedule.kind)));
  out.set_warmup(schedule.warmup);
  out.set_period(schedule.period);
  out.set_decay(schedule.decay);
  out.set_floor(schedule.floor);
}

absl::Status CheckLayout(const TableSpec& spec) {
  const auto impossible = [&spec](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(
        "the coordinator describes table ", spec.name, " with ", what,
        ": is the address a Paramo coordinator's, and of "
        "this version?"));
  };
  if (spec.dim == 0 || spec.dim > kDimMax) {
    return impossible(absl::StrCat("dim ", spec.dim));
  }
  if (spec.shape.empty()) return absl::OkStatus();
  const uint64_t elements = Elements(spec.shape);
  if (elements == 0 || elements > kRowsPerShardTableMax * spec.dim) {
    return impossible("a shape that is empty or too large");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t Elements(const std::vector<uint64_t>& shape) {
  constexpr uint64_t kElementsMax = uint64_t{1} << 40;
  uint64_t elements = shape.empty() ? 0 : 1;
  for (uint64_t extent : shape) {
    if (extent == 0 || elements > kElementsMax / extent) return 0;
    elements *= extent;
  }
  return elements;
}

absl::Status ToProto(const TableSpec& spec, v1::TableSpec& out) {
  out.set_name(spec.name);
  out.set_dim(spec.dim);
  for (uint64_t extent : spec.shape) out.mutable_tensor()->add_shape(extent);
  ToProto(spec.rule, *out.mutable_rule());
  v1::Initializer& initializer = *out.mutable_initializer();
  initializer.set_kind(static_cast<v1::Initializer::Kind>(
      static_cast<int>(spec.initializer.kind)));
  initializer.set_a(spec.initializer.a);
  initializer.set_fan_in(spec.initializer.fan_in);
  initializer.set_fan_out(spec.initializer.fan_out);
  ToProto(spec.non_finite, *out.mutable_non_finite());
  out.set_seed(spec.seed);
  ToProto(spec.clipping, *out.mutable_clipping());
  ToProto(spec.schedule, *out.mutable_schedule());
  out.set_staleness_scaling(spec.staleness_scaling);
  out.set_delay_compensation(spec.delay_compensation);
  out.set_durability(
      static_cast<v1::Durability>(static_cast<int>(spec.durability)));
  out.set_memory_budget(spec.memory_budget);
  PARAMO_ASSIGN_OR_RETURN(const Codec* codec,
                          FindCodec(absl::string_view(spec.codec)));
  out.set_codec(codec->id);
  return absl::OkStatus();
}

void ToProto(const TableChanges& changes, v1::AlterTableRequest& out) {
  if (changes.rule) ToProto(*changes.rule, *out.mutable_rule());
  if (changes.non_finite) {
    ToProto(*changes.non_finite, *out.mutable_non_finite());
  }
  if (changes.clipping) ToProto(*changes.clipping, *out.mutable_clipping());
  if (changes.schedule) ToProto(*changes.schedule, *out.mutable_schedule());
  if (changes.staleness_scaling) {
    out.set_staleness_scaling(*changes.staleness_scaling);
  }
  if (changes.delay_compensation) {
    out.set_delay_compensation(*changes.delay_compensation);
  }
  if (changes.memory_budget) out.set_memory_budget(*changes.memory_budget);
}

void ToProto(const JobSpec& spec, v1::JobSpec& out) {
  out.set_name(spec.name);
  v1::Sync& sync = *out.mutable_sync();
  sync.set_kind(static_cast<v1::Sync::Kind>(static_cast<int>(spec.sync.kind)));
  sync.set_staleness(spec.sync.staleness);
  sync.set_backup_workers(spec.sync.backup_workers);
  sync.set_quorum(spec.sync.quorum);
  sync.set_deadline_ms(static_cast<uint32_t>(spec.sync.deadline.count()));
  out.set_workers(spec.workers);
  out.set_epochs(spec.epochs);
  out.set_examples(spec.examples);
  out.set_batch(spec.batch);
  out.set_batches_per_data_shard(spec.batches_per_data_shard);
  out.set_lease_ms(static_cast<uint32_t>(spec.lease.count()));
  out.set_definition(spec.definition);
}

void ToProto(const WorkerProgress& progress, v1::WorkerProgress& out) {
  out.set_clock(progress.clock);
  out.set_examples(progress.examples);
  out.set_loss(progress.loss);
  out.set_pushes(progress.pushes);
  out.set_pulls(progress.pulls);
  out.set_push_bytes(progress.push_bytes);
  out.set_pull_bytes(progress.pull_bytes);
  out.set_step_ms_p50(progress.step_ms_p50);
  out.set_step_ms_p99(progress.step_ms_p99);
  out.set_input_ms(progress.input_ms);
  out.set_pull_ms(progress.pull_ms);
  out.set_compute_ms(progress.compute_ms);
  out.set_push_ms(progress.push_ms);
  out.set_wait_ms(progress.wait_ms);
  out.set_metric_name(progress.metric_name);
  out.set_metric(progress.metric);
  out.set_metric_epoch(progress.metric_epoch);
}

absl::StatusOr<TableInfo> FromProto(const v1::Table& table) {
  TableInfo info;
  info.id = table.id();
  info.version = table.version();
  const v1::TableSpec& in = table.spec();
  TableSpec& spec = info.spec;
  spec.name = in.name();
  spec.dim = in.dim();
  spec.shape.assign(in.tensor().shape().begin(), in.tensor().shape().end());
  spec.rule.name = in.rule().name();
  for (const auto& param : in.rule().params()) {
    spec.rule.params[param.first] = param.second;
  }
  spec.initializer.kind =
      static_cast<Initializer::Kind>(static_cast<int>(in.initializer().kind()));
  spec.initializer.a = in.initializer().a();
  spec.initializer.fan_in = in.initializer().fan_in();
  spec.initializer.fan_out = in.initializer().fan_out();
  spec.non_finite.policy = static_cast<NonFinite::Policy>(
      static_cast<int>(in.non_finite().policy()));
  spec.non_finite.clip = in.non_finite().clip();
  spec.seed = in.seed();
  spec.clipping.value = in.clipping().value();
  spec.clipping.norm = in.clipping().norm();
  spec.schedule.kind =
      static_cast<Schedule::Kind>(static_cast<int>(in.schedule().kind()));
  spec.schedule.warmup = in.schedule().warmup();
  spec.schedule.period = in.schedule().period();
  spec.schedule.decay = in.schedule().decay();
  spec.schedule.floor = in.schedule().floor();
  spec.staleness_scaling = in.staleness_scaling();
  spec.delay_compensation = in.delay_compensation();
  spec.durability = static_cast<Durability>(static_cast<int>(in.durability()));
  spec.memory_budget = in.memory_budget();
  // One that this build does not have is a name that no request is sent with.
  const auto codec = FindCodec(in.codec());
  spec.codec = codec.ok() ? (*codec)->name : absl::StrCat(in.codec());
  PARAMO_RETURN_IF_ERROR(CheckLayout(spec));
  return info;
}

JobSpec FromProto(const v1::JobSpec& in) {
  JobSpec spec;
  spec.name = in.name();
  spec.sync = static_cast<Sync::Kind>(static_cast<int>(in.sync().kind()));
  spec.sync.staleness = in.sync().staleness();
  spec.sync.backup_workers = in.sync().backup_workers();
  spec.sync.quorum = in.sync().quorum();
  spec.sync.deadline = std::chrono::milliseconds(in.sync().deadline_ms());
  spec.workers = in.workers();
  spec.epochs = in.epochs();
  spec.examples = in.examples();
  spec.batch = in.batch();
  spec.batches_per_data_shard = in.batches_per_data_shard();
  spec.lease = std::chrono::milliseconds(in.lease_ms());
  spec.definition = in.definition();
  return spec;
}

JobReport FromProto(const v1::JobReport& in) {
  JobReport report;
  report.spec = FromProto(in.spec());
  report.phase = static_cast<JobPhase>(static_cast<int>(in.state().phase()));
  for (const v1::WorkerReport& worker : in.workers()) {
    WorkerReport out;
    out.worker = worker.worker();
    out.host = worker.host();
    out.pid = worker.pid();
    out.live = worker.live();
    out.left_because = worker.left_because();
    out.progress = FromProto(worker.progress());
    out.silent = std::chrono::milliseconds(worker.silent_ms());
    report.workers.push_back(std::move(out));
  }
  report.data_shards = in.data_shards();
  report.data_shards_finished = in.data_shards_finished();
  report.batches_repeated = in.batches_repeated();
  report.deaths = in.deaths();
  report.error = in.error();
  report.metric_name = in.metric_name();
  report.metric = in.metric();
  report.metric_epoch = in.metric_epoch();
  report.pushes = in.pushes();
  report.pulls = in.pulls();
  report.push_bytes = in.push_bytes();
  report.pull_bytes = in.pull_bytes();
  report.examples = in.examples();
  return report;
}

}  // namespace paramo::client
