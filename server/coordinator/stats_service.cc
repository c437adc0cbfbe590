// Service Admin, as far as it concerns a coordinator: Stats.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "common/base/build.h"
#include "paramo/v1/admin.grpc.pb.h"
#include "server/coordinator/service.h"

namespace paramo {
namespace {

class StatsService final : public v1::Admin::CallbackService {
 public:
  explicit StatsService(const MetricsRegistry& metrics)
      : metrics_(metrics), started_(absl::Now()) {}

  grpc::ServerUnaryReactor* Stats(grpc::CallbackServerContext* context,
                                  const v1::StatsRequest*,
                                  v1::StatsReply* reply) override {
    reply->set_build(kBuild);
    reply->set_pid(getpid());
    reply->set_uptime_s(absl::ToDoubleSeconds(absl::Now() - started_));
    for (const MetricSample& sample : metrics_.Collect()) {
      v1::Metric* metric = reply->add_metrics();
      metric->set_name(sample.name);
      metric->set_labels(sample.labels);
      metric->set_value(sample.value);
    }
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const MetricsRegistry& metrics_;
  const absl::Time started_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeStatsService(
    const MetricsRegistry& metrics) {
  return std::make_unique<StatsService>(metrics);
}

}  // namespace paramo
