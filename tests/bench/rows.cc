// rows: sparse rows pushed and pulled by key. Floors: gRPC echo with messages
// of the same size and as many in flight; for what a backup costs, the same
// pushes without one; for what a codec or shared memory brings, the same rows
// in f32, or by gRPC.
#include "absl/strings/str_cat.h"
#include "client/cli/table_spec.h"
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/table_load.h"

namespace paramo::bench {
namespace {

// A heading of docs/benchmarks.md.
constexpr char kWhyMissed[] = "Rows through the whole path";

struct Options {
  int rows = 0;
  RowsSpec spec;
  std::string keys = "uniform";
  std::string durability = "logged";
  cli::LocalClusterOptions cluster;
  int in_flight = 4;
  std::string lane = "grpc";
  bool memory_budget = false;
  bool backup = false;
};

class Rows final : public Bench {
 public:
  void Declare(Config& config) override {
    options_.cluster.servers = 1;
    config.Int("rows", options_.rows, {1, 1 << 20}, "keys of a request")
        .Default("1024, then 8192, then (in f32) what a backup costs");
    config.Int("dim", options_.spec.dim, {1, 65536}, "floats of a row");
    options_.spec.rule = "";
    config.Text("rule", options_.spec.rule, "update rule")
        .Default("adagrad, or sgd with a codec");
    config.Choice("codec", options_.spec.codec, cli::CodecNames(),
                  "how rows travel; another than f32 is held against it");
    config.Int("table-rows", options_.spec.table_rows, {1, 1 << 30},
               "rows of the table, all there before");
    config.Choice("keys", options_.keys, {"uniform", "zipf"},
                  "how keys are drawn");
    config.Switch(
        "repeat-keys", options_.spec.repeat_keys,
        "the same lists of keys again and again, as in an evaluation");
    config.Choice("durability", options_.durability,
                  {"logged", "replicated", "synced"}, "of the table");
    config.Int("servers", options_.cluster.servers, {1, 64}, "processes");
    config.Int("replicas", options_.cluster.replicas, {0, 7},
               "of every shard; 0: two, or one on one server");
    config.Int("shards", options_.cluster.shards, {1, 4096},
               "of the cluster, a power of two");
    config.Int("in-flight", options_.in_flight, {1, 256}, "requests at a time");
    config.Choice("lane", options_.lane, {"grpc", "shm"},
                  "how requests go; shared memory is held against gRPC");
    config.Switch("memory-budget", options_.memory_budget,
                  "instead: zipf keys, a tenth of the rows in memory, against "
                  "all of them there");
    config.Switch("backup", options_.backup,
                  "instead: only what a backup costs");
    config.Check([this] { return options_.cluster.Check(); });
  }

  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    if (smoke) options_.spec.table_rows = 10'000;
    const bool encoded = options_.spec.codec != "f32";
    if (options_.spec.rule.empty()) {
      options_.spec.rule = encoded ? "sgd" : "adagrad";
    }
    options_.spec.keys = options_.keys == "zipf" ? Keys::kZipf : Keys::kUniform;
    options_.spec.durability =
        options_.durability == "synced"       ? Durability::kSynced
        : options_.durability == "replicated" ? Durability::kReplicated
                                              : Durability::kLogged;
    if (options_.backup) return AddBackup(lab, plan);
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * cluster,
                            lab.StartCluster(options_.cluster));
    if (options_.memory_budget) return AddBudget(lab, plan, *cluster, smoke);
    std::vector<int> sizes = {1024, smoke ? 256 : 8192};
    if (options_.rows != 0) sizes = {options_.rows};
    if (options_.lane == "shm") return AddLanes(lab, plan, *cluster, sizes);
    for (int rows : sizes) {
      for (Call call : {Call::kPush, Call::kPull}) {
        PARAMO_RETURN_IF_ERROR(encoded
                                   ? AddCodecCase(plan, *cluster, rows, call)
                                   : AddCase(lab, plan, *cluster, rows, call));
      }
    }
    return options_.rows == 0 && !encoded ? AddBackup(lab, plan)
                                          : absl::OkStatus();
  }

 private:
  // The same pushes and pulls of a table ten times its budget, and of one that
  // has none.
  absl::Status AddBudget(Lab& lab, Plan& plan, BenchCluster& cluster,
                         bool smoke) {
    RowsSpec spec = options_.spec;
    if (options_.rows != 0) spec.rows = options_.rows;
    spec.keys = Keys::kZipf;
    spec.rule = "adagrad";
    spec.batches = smoke ? 64 : 4096;
    for (Call call : {Call::kPush, Call::kPull}) {
      const std::string name = call == Call::kPush ? "push" : "pull";
      spec.budget_part = 0.1;
      PARAMO_ASSIGN_OR_RETURN(Case tenth, CaseOf(name + ", a tenth in memory",
                                                 cluster, spec, call));
      lab.Settle();
      spec.budget_part = 0;
      PARAMO_ASSIGN_OR_RETURN(
          Case all, CaseOf(name + ", all in memory", cluster, spec, call));
      const size_t subject = plan.Add(std::move(tenth.subject));
      plan.Compare(subject, plan.Add(std::move(all.subject)), Unit::kRows,
                   AtLeast(0.5), "Rows that are not all in memory");
    }
    return absl::OkStatus();
  }

  // Targets are set for these tables only.
  bool IsAsked(const char* rule) const {
    return options_.spec.table_rows == 1'000'000 && options_.spec.dim == 64 &&
           options_.spec.rule == rule && options_.spec.keys == Keys::kUniform &&
           options_.cluster.servers == 1;
  }

  absl::StatusOr<Case> CaseOf(const std::string& name, BenchCluster& cluster,
                              const RowsSpec& spec, Call call) {
    PARAMO_ASSIGN_OR_RETURN(auto asked,
                            MakeRows(cluster, spec, options_.in_flight));
    Load load;
    load.in_flight = options_.in_flight;
    return MakeCase(name, cluster, std::move(asked), call, load);
  }

  absl::Status AddCase(Lab& lab, Plan& plan, BenchCluster& cluster, int rows,
                       Call call) {
    RowsSpec spec = options_.spec;
    spec.rows = rows;
    const std::string name = call == Call::kPush
                                 ? absl::StrCat("push ", spec.rule, " ", rows)
                                 : absl::StrCat("pull ", rows);
    PARAMO_ASSIGN_OR_RETURN(Case c, CaseOf(name, cluster, spec, call));
    PARAMO_ASSIGN_OR_RETURN(Subject floor, FloorOf(c, lab, Via::kGrpc));
    const size_t subject = plan.Add(std::move(c.subject));
    plan.Compare(subject, plan.Add(std::move(floor)), Unit::kRows,
                 IsAsked("adagrad") ? AtLeast(0.45) : Target(), kWhyMissed);
    return absl::OkStatus();
  }

  // The same rows in the codec and in f32.
  absl::Status AddCodecCase(Plan& plan, BenchCluster& cluster, int rows,
                            Call call) {
    RowsSpec spec = options_.spec;
    spec.rows = rows;
    const auto add = [&]() -> absl::StatusOr<size_t> {
      const std::string what =
          call == Call::kPush ? absl::StrCat("push ", spec.rule) : "pull";
      PARAMO_ASSIGN_OR_RETURN(
          Case c, CaseOf(absl::StrCat(what, " ", spec.codec, " ", rows),
                         cluster, spec, call));
      return plan.Add(std::move(c.subject));
    };
    PARAMO_ASSIGN_OR_RETURN(const size_t encoded, add());
    spec.codec = "f32";
    PARAMO_ASSIGN_OR_RETURN(const size_t plain, add());
    const double asked = options_.spec.codec == "int8" ? 2 : 1.5;
    plan.Compare(encoded, plain, Unit::kRows,
                 IsAsked("sgd") ? AtLeast(asked) : Target(), kWhyMissed);
    return absl::OkStatus();
  }

  // The same calls of servers of their own, through shared memory and by gRPC.
  absl::Status AddLanes(Lab& lab, Plan& plan, BenchCluster& grpc,
                        const std::vector<int>& sizes) {
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * shm,
                            lab.StartCluster(options_.cluster, Lane::kShm));
    RowsSpec spec = options_.spec;
    for (int rows : sizes) {
      for (Call call : {Call::kPush, Call::kPull}) {
        spec.rows = rows;
        const std::string name =
            absl::StrCat(call == Call::kPush ? "push " : "pull ", rows);
        PARAMO_ASSIGN_OR_RETURN(
            Case shared, CaseOf(name + ", shared memory", *shm, spec, call));
        PARAMO_ASSIGN_OR_RETURN(Case sent,
                                CaseOf(name + ", gRPC", grpc, spec, call));
        const size_t subject = plan.Add(std::move(shared.subject));
        plan.Compare(subject, plan.Add(std::move(sent.subject)), Unit::kRows);
      }
    }
    return absl::OkStatus();
  }

  // Two servers each: the backup is the only difference.
  absl::Status AddBackup(Lab& lab, Plan& plan) {
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * one,
                            lab.StartCluster(/*servers=*/2, /*replicas=*/1));
    PARAMO_ASSIGN_OR_RETURN(BenchCluster * two,
                            lab.StartCluster(/*servers=*/2, /*replicas=*/2));
    RowsSpec spec = options_.spec;
    spec.durability = Durability::kLogged;
    PARAMO_ASSIGN_OR_RETURN(Case backup, CaseOf("push with a backup, logged",
                                                *two, spec, Call::kPush));
    spec.durability = Durability::kReplicated;
    PARAMO_ASSIGN_OR_RETURN(
        Case alone, CaseOf("push without a backup", *one, spec, Call::kPush));
    const size_t subject = plan.Add(std::move(backup.subject));
    plan.Compare(subject, plan.Add(std::move(alone.subject)), Unit::kCpuPerRow,
                 IsAsked("adagrad") ? AtMost(2.2) : Target(),
                 "What replication costs");
    return absl::OkStatus();
  }

  Options options_;
};

}  // namespace

std::unique_ptr<Bench> MakeRowsBench() { return std::make_unique<Rows>(); }

}  // namespace paramo::bench
