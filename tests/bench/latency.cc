// latency: small requests, one at a time and at a fixed rate. At a fixed rate
// (open loop) a request counts from when it was due, so that waiting behind a
// slow one is seen. Floor: gRPC echo, asked in the same way.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/table_load.h"

namespace paramo::bench {
namespace {

// More than this are never on their way: at 1,000 a second, when one takes
// 256 ms. Those after it wait, which counts.
constexpr int kInFlightMax = 256;

constexpr char kWhyMissed[] = "Small requests";

class Latency final : public Bench {
 public:
  void Declare(Config& config) override {
    DeclareRows(config, /*rows_max=*/4096, spec_);
    config.Number("rate", rate_, {1, 1e6}, "requests a second, open loop");
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    if (smoke) spec_.table_rows = 10'000;
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * cluster,
                            lab.StartCluster(/*servers=*/1));
    for (Call call : {Call::kPull, Call::kPush}) {
      for (double rate : {0.0, rate_}) {
        PARAMO_RETURN_IF_ERROR(AddCase(lab, plan, *cluster, call, rate));
      }
    }
    return absl::OkStatus();
  }

 private:
  static RowsSpec SmallRows() {
    RowsSpec spec;
    spec.rows = 16;
    spec.dim = 16;
    return spec;
  }
  bool IsAsked(Call call, double rate) const {
    return call == Call::kPull && rate == 0 && spec_.rows == 16 &&
           spec_.dim == 16;
  }

  absl::Status AddCase(Lab& lab, Plan& plan, BenchCluster& cluster, Call call,
                       double rate) {
    Load load;
    load.in_flight = rate > 0 ? kInFlightMax : 1;
    load.rate = rate;
    const std::string name = absl::StrCat(
        call == Call::kPush ? absl::StrCat("push ", spec_.rule) : "pull", " ",
        spec_.rows, " x ", spec_.dim, ", ",
        rate > 0 ? absl::StrCat(rate, " a second") : "one in flight");
    PARAMO_ASSIGN_OR_RETURN(auto asked,
                            MakeRows(cluster, spec_, load.in_flight));
    PARAMO_ASSIGN_OR_RETURN(
        Case c, MakeCase(name, cluster, std::move(asked), call, load));
    PARAMO_ASSIGN_OR_RETURN(Subject floor, FloorOf(c, lab, Via::kGrpc, rate));
    const size_t subject = plan.Add(std::move(c.subject));
    const size_t echo = plan.Add(std::move(floor));
    plan.Compare(subject, echo, Unit::kP50,
                 IsAsked(call, rate) ? AtMost(1.2) : Target(), kWhyMissed);
    plan.Compare(subject, echo, Unit::kP99);
    plan.Compare(subject, echo, Unit::kP999);
    return absl::OkStatus();
  }

  RowsSpec spec_ = SmallRows();
  double rate_ = 1000;
};

}  // namespace

std::unique_ptr<Bench> MakeLatency() { return std::make_unique<Latency>(); }

}  // namespace paramo::bench
