// wire: dense parameters, pushed (sgd, nobody waits for the log) and pulled
// whole, one server.
// Floors: gRPC echo and plain TCP with messages of the same size and as many in
// flight.
#include "tests/bench/wire.h"

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/table_load.h"

namespace paramo::bench {
namespace {

constexpr char kWhyMissed[] = "Dense push and pull against their floors";

// What is asked of that size; none where nothing is.
struct Asks {
  Target grpc;
  Target tcp;
};
Asks AsksOf(size_t bytes) {
  switch (bytes) {
    case 4 << 10:
      return {AtLeast(0.8), {}};
    case 64 << 10:
      return {AtLeast(0.85), {}};
    case 4 << 20:
      return {AtLeast(0.85), AtLeast(0.75)};
    default:
      return {};
  }
}

class Wire final : public Bench {
 public:
  void Declare(Config& config) override {
    config.Choice("lane", lane_, {"grpc", "shm"},
                  "how big messages go: shm is shared memory");
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    PARAMO_ASSIGN_OR_RETURN(
        BenchCluster * cluster,
        lab.StartCluster(/*servers=*/1, /*replicas=*/1,
                         lane_ == "shm" ? Lane::kShm : Lane::kGrpc));
    for (const WireSize& size : WireSizes(smoke)) {
      PARAMO_ASSIGN_OR_RETURN(auto tensor,
                              MakeTensor(*cluster, size.bytes, size.in_flight));
      for (Call call : {Call::kPush, Call::kPull}) {
        PARAMO_RETURN_IF_ERROR(
            AddCase(lab, plan, *cluster, tensor, size, call));
      }
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status AddCase(Lab& lab, Plan& plan, BenchCluster& cluster,
                              std::shared_ptr<Asked> tensor,
                              const WireSize& size, Call call) {
    Load load;
    load.in_flight = size.in_flight;
    const std::string name =
        absl::StrCat(call == Call::kPush ? "push " : "pull ",
                     SizeText(size.bytes), ", ", size.in_flight, " in flight");
    PARAMO_ASSIGN_OR_RETURN(
        Case c, MakeCase(name, cluster, std::move(tensor), call, load));
    PARAMO_ASSIGN_OR_RETURN(Subject grpc, FloorOf(c, lab, Via::kGrpc));
    PARAMO_ASSIGN_OR_RETURN(Subject tcp, FloorOf(c, lab, Via::kTcp));
    const Asks asks = AsksOf(size.bytes);
    // Of small messages it is the number that counts.
    const Unit unit =
        size.bytes <= 4 << 10 ? Unit::kMessages : Unit::kGigabytes;
    const size_t subject = plan.Add(std::move(c.subject));
    plan.Compare(subject, plan.Add(std::move(grpc)), unit, asks.grpc,
                 kWhyMissed);
    plan.Compare(subject, plan.Add(std::move(tcp)), unit, asks.tcp, kWhyMissed);
    return absl::OkStatus();
  }

  std::string lane_ = "grpc";
};

}  // namespace

std::vector<WireSize> WireSizes(bool smoke) {
  if (smoke) return {{4 << 10, 8}, {64 << 10, 4}};
  return {
      {4 << 10, 8}, {64 << 10, 4}, {1 << 20, 4}, {4 << 20, 2}, {16 << 20, 2}};
}

std::string SizeText(size_t bytes) {
  return bytes < 1 << 20 ? absl::StrCat(bytes >> 10, " KB")
                         : absl::StrCat(bytes >> 20, " MB");
}

std::unique_ptr<Bench> MakeWire() { return std::make_unique<Wire>(); }

}  // namespace paramo::bench
