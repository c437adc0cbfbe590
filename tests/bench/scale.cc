// scale: the same requests with more strands, more servers, more rows. The
// floor of a case is the smallest of its kind, so a ratio of 2 at twice the
// strands is all there is to gain. Client and servers share the cores.
#include <algorithm>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/table_load.h"

namespace paramo::bench {
namespace {

constexpr int kInFlight = 4;

// A kind's first case for pushes and for pulls, once it is there.
struct Smallest {
  std::optional<size_t> push;
  std::optional<size_t> pull;
};

class Scale final : public Bench {
 public:
  void Declare(Config& config) override {
    config.Int("servers-max", servers_max_, {1, 64}, "processes");
    config.Int("rows-max", rows_max_, {1000, 100'000'000},
               "rows of the largest table; 10^8 take 20 GB and minutes");
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    spec_.dim = 16;
    spec_.table_rows = smoke ? 1000 : 100'000;
    if (smoke) rows_max_ = 10'000;
    if (smoke) servers_max_ = 2;
    PARAMO_RETURN_IF_ERROR(AddStrands(lab, plan));
    PARAMO_RETURN_IF_ERROR(AddServers(lab, plan));
    return AddRows(plan);
  }

 private:
  absl::Status AddStrands(Lab& lab, Plan& plan) {
    Smallest smallest;
    const unsigned cores = std::max(2u, std::thread::hardware_concurrency());
    for (unsigned strands = 1; strands <= cores; strands *= 2) {
      cli::LocalClusterOptions options;
      options.servers = 1;
      options.server_args = {"--threads", absl::StrCat(strands)};
      PARAMO_ASSIGN_OR_RETURN(BenchCluster * cluster,
                              lab.StartCluster(options));
      PARAMO_RETURN_IF_ERROR(AddCases(
          plan, *cluster, spec_, smallest,
          absl::StrCat(strands, strands == 1 ? " strand" : " strands")));
    }
    return absl::OkStatus();
  }
  absl::Status AddServers(Lab& lab, Plan& plan) {
    Smallest smallest;
    for (uint32_t servers = 1; servers <= servers_max_; ++servers) {
      PARAMO_ASSIGN_OR_RETURN(BenchCluster * cluster,
                              lab.StartCluster(servers, /*replicas=*/1));
      if (servers == 1) one_server_ = cluster;
      PARAMO_RETURN_IF_ERROR(AddCases(
          plan, *cluster, spec_, smallest,
          absl::StrCat(servers, servers == 1 ? " server" : " servers")));
    }
    return absl::OkStatus();
  }
  absl::Status AddRows(Plan& plan) {
    Smallest smallest;
    for (RowsSpec spec = spec_; spec.table_rows <= rows_max_;
         spec.table_rows *= 10) {
      PARAMO_RETURN_IF_ERROR(AddCases(plan, *one_server_, spec, smallest,
                                      absl::StrCat(spec.table_rows, " rows")));
    }
    return absl::OkStatus();
  }

  static absl::Status AddCases(Plan& plan, BenchCluster& cluster,
                               const RowsSpec& spec, Smallest& smallest,
                               const std::string& what) {
    Load load;
    load.in_flight = kInFlight;
    PARAMO_ASSIGN_OR_RETURN(auto asked, MakeRows(cluster, spec, kInFlight));
    for (Call call : {Call::kPush, Call::kPull}) {
      const bool push = call == Call::kPush;
      PARAMO_ASSIGN_OR_RETURN(
          Case c, MakeCase(absl::StrCat(push ? "push, " : "pull, ", what),
                           cluster, asked, call, load));
      const size_t subject = plan.Add(std::move(c.subject));
      std::optional<size_t>& first = push ? smallest.push : smallest.pull;
      if (first.has_value()) {
        plan.Compare(subject, *first, Unit::kRows);
      } else {
        first = subject;
        Line line;
        line.unit = Unit::kRows;
        line.subject = subject;
        plan.Show(std::move(line));
      }
    }
    return absl::OkStatus();
  }

  RowsSpec spec_;
  BenchCluster* one_server_ = nullptr;  // the lab's
  uint32_t servers_max_ = 3;
  uint64_t rows_max_ = 10'000'000;
};

}  // namespace

std::unique_ptr<Bench> MakeScale() { return std::make_unique<Scale>(); }

}  // namespace paramo::bench
