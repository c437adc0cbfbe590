#include "server/admin/admin_service.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/build.h"
#include "paramo/v1/admin.grpc.pb.h"

namespace paramo {
namespace {

constexpr uint32_t kKeysPerList = 1u << 20;

class AdminService final : public v1::Admin::Service {
 public:
  AdminService(MetricsRegistry& metrics, ForEachShard for_each)
      : metrics_(metrics),
        for_each_(std::move(for_each)),
        started_(absl::Now()) {}

  grpc::Status Stats(grpc::ServerContext*, const v1::StatsRequest* request,
                     v1::StatsReply* reply) override {
    reply->set_build(kBuild);
    reply->set_pid(getpid());
    reply->set_uptime_s(absl::ToDoubleSeconds(absl::Now() - started_));
    for (const MetricSample& sample : metrics_.Collect()) {
      v1::Metric& metric = *reply->add_metrics();
      metric.set_name(sample.name);
      metric.set_labels(sample.labels);
      metric.set_value(sample.value);
    }
    for_each_([&](Shard& shard) {
      ShardReport report = shard.Report();
      const bool held = request->all_replicas() && report.last.lsn > 0;
      if (!report.serving && !held) return;
      v1::ShardStats& stats = *reply->add_shards();
      stats.set_shard(report.shard);
      stats.set_role(report.role);
      stats.set_epoch(report.epoch);
      stats.set_history(report.history);
      stats.set_last_lsn(report.last.lsn);
      stats.set_last_epoch(report.last.epoch);
      stats.set_lsn(report.lsn);
      stats.set_rows(report.rows);
      stats.set_resident_rows(report.resident_rows);
      stats.set_dirty_rows(report.dirty_rows);
      stats.set_bytes(report.bytes);
      stats.set_sessions(report.sessions);
      stats.set_parked(report.parked);
    });
    return grpc::Status::OK;
  }

  grpc::Status Checksum(grpc::ServerContext*,
                        const v1::ChecksumRequest* request,
                        v1::ChecksumReply* reply) override {
    bool found = false;
    uint64_t rows = 0;
    uint64_t sum = 0;
    for_each_([&](Shard& shard) {
      if (!shard.Report().serving) return;  // its primary tells
      const TableShard* table = shard.table(request->table());
      if (table == nullptr) return;
      found = true;
      rows += table->rows();
      sum += table->Checksum();
    });
    if (!found) return NoTable(request->table());
    reply->set_rows(rows);
    reply->set_sum(sum);
    return grpc::Status::OK;
  }

  grpc::Status ListKeys(grpc::ServerContext*,
                        const v1::ListKeysRequest* request,
                        v1::ListKeysReply* reply) override {
    uint32_t limit = request->limit() == 0
                         ? kKeysPerList
                         : std::min(request->limit(), kKeysPerList);
    bool found = false;
    std::vector<Key> keys;
    for_each_([&](Shard& shard) {
      if (shard.id() != request->shard()) return;
      const TableShard* table = shard.table(request->table());
      if (table == nullptr) return;
      found = true;
      keys = table->Keys(request->from(), size_t{limit} + 1);
    });
    if (!found) return NoTable(request->table());
    reply->set_more(keys.size() > limit);
    keys.resize(std::min<size_t>(keys.size(), limit));
    reply->set_keys(keys.data(), keys.size() * sizeof(Key));
    return grpc::Status::OK;
  }

 private:
  static grpc::Status NoTable(uint32_t id) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND,
                        "no table with id " + std::to_string(id) +
                            " here; `paramo table list` shows them");
  }

  MetricsRegistry& metrics_;
  const ForEachShard for_each_;
  const absl::Time started_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(MetricsRegistry& metrics,
                                                ForEachShard for_each) {
  return std::make_unique<AdminService>(metrics, std::move(for_each));
}

}  // namespace paramo
