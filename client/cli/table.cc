// `paramo table ...`, except export.
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/describe.h"
#include "client/cli/table_spec.h"
#include "client/core/control.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "paramo/tensor.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"

namespace paramo::cli {
namespace {

int ShowTable(const ClusterFlags& flags, const v1::Table& table) {
  Records records = EmptyTableRecords();
  AddTable(table, records);
  Print(flags.json() ? records.Json() + "\n" : records.Table());
  return kExitOk;
}

}  // namespace

int RunTableCreate(const Args& args) {
  ClusterFlags flags;
  TableFlags table;
  v1::TableSpec spec;
  Config config("paramo table create",
                "creates a table, or opens an equal one");
  config.Positional("name", table.name, "[a-z0-9][a-z0-9._-]*");
  config.Int("dim", table.dim, {1, kDimMax}, "floats of a sparse table's row")
      .Default("")
      .FlagOnly();
  config
      .Choice("rule", table.rule,
              {"sgd", "momentum", "nesterov", "adagrad", "rowwise_adagrad",
               "rmsprop", "adam", "adamw", "ftrl"},
              "how gradients change rows")
      .FlagOnly();
  config.Texts("param", table.params, "of the rule; repeat for more")
      .Unit("NAME=NUMBER")
      .FlagOnly();
  config
      .Text("init", table.init, "constant:A, uniform:A, normal:A or xavier:I,O")
      .Unit("KIND")
      .FlagOnly();
  config.Text("tensor", table.tensor, "a dense tensor of this shape, 784,256")
      .Unit("SHAPE")
      .FlagOnly();
  static_assert(kTensorDimDefault == 4096, "the default of --block");
  config.Int("block", table.block, {1, kDimMax}, "elements of a tensor's row")
      .Default("4096")
      .FlagOnly();
  config
      .Text("non-finite", table.non_finite,
            "NaN, inf: reject, skip or clip:MAX")
      .Unit("POLICY")
      .FlagOnly();
  config.Int("seed", table.seed, {}, "of the initializer")
      .Default("any")
      .FlagOnly();
  config
      .Choice("durability", table.durability,
              {"replicated", "logged", "synced"},
              "what a push survives: loss of a server, kill -9 of all, power "
              "loss")
      .FlagOnly();
  config.Choice("codec", table.codec, CodecNames(), "how values travel")
      .FlagOnly();
  config
      .Size("memory-budget", table.memory_budget, {0, INT64_MAX},
            "of rows in memory, e.g. 512MiB; others are read back when used")
      .Default("none")
      .FlagOnly();
  table.gradients.AddTo(config);
  flags.AddTo(config);
  config.Check([&] { return ReadTableSpec(table, spec); });
  config.Example(
      "paramo table create ads --dim 64 --rule adagrad --param lr=0.05");
  config.Example(
      "paramo table create w0 --tensor 784,256 --init xavier:784,256");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  auto reply = control.CreateTable(spec, flags.timeout);
  if (!reply.ok()) return Fail(reply.status());
  return ShowTable(flags, (*reply)->table());
}

int RunTableList(const Args& args) {
  ClusterFlags flags;
  Config config("paramo table list", "every table of the cluster");
  flags.AddTo(config);
  config.Example("paramo table list --output json");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  auto reply = control.ListTables(flags.timeout);
  if (!reply.ok()) return Fail(reply.status());
  Records records = EmptyTableRecords();
  for (const v1::Table& table : (*reply)->tables()) AddTable(table, records);
  if (flags.json()) {
    Print(records.Json() + "\n");
  } else {
    Print(records.empty() ? "no tables; paramo table create makes one\n"
                          : records.Table());
  }
  return kExitOk;
}

int RunTableDescribe(const Args& args) {
  ClusterFlags flags;
  std::string name;
  Config config("paramo table describe", "shows one table");
  config.Positional("table", name, "its name");
  flags.AddTo(config);
  config.Example("paramo table describe ads");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  auto table = control.DescribeTable(name, flags.timeout);
  if (!table.ok()) return Fail(table.status());
  return ShowTable(flags, **table);
}

int RunTableAlter(const Args& args) {
  ClusterFlags flags;
  std::string name;
  std::string rule;
  std::string non_finite;
  std::vector<std::string> params;
  int64_t memory_budget = -1;
  GradientFlags gradients;
  v1::AlterTableRequest request;
  Config config("paramo table alter", "changes hyper-parameters of a table");
  config.Positional("table", name, "its name");
  config.Text("rule", rule, "another rule with the same slots").FlagOnly();
  config.Texts("param", params, "of the rule; repeat for more")
      .Unit("NAME=NUMBER")
      .FlagOnly();
  config.Text("non-finite", non_finite, "reject, skip or clip:MAX")
      .Unit("POLICY")
      .FlagOnly();
  config
      .Size("memory-budget", memory_budget, {0, INT64_MAX},
            "of rows in memory; 0 lifts it")
      .Default("as it is")
      .FlagOnly();
  gradients.AddTo(config);
  flags.AddTo(config);
  config.Check([&]() -> absl::Status {
    request.set_name(name);
    if (memory_budget >= 0) {
      request.set_memory_budget(static_cast<uint64_t>(memory_budget));
    }
    if (!rule.empty()) request.mutable_rule()->set_name(rule);
    if (!params.empty()) {
      PARAMO_RETURN_IF_ERROR(ReadParams(params, *request.mutable_rule()));
    }
    if (!non_finite.empty()) {
      PARAMO_RETURN_IF_ERROR(
          ReadNonFinite(non_finite, *request.mutable_non_finite()));
    }
    PARAMO_RETURN_IF_ERROR(ReadGradientFlags(gradients, request));
    if (request.has_rule() || request.has_non_finite() || gradients.any() ||
        request.has_memory_budget()) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        "nothing to change; give --param, --rule, --non-finite, --clipping, "
        "--schedule, --staleness-scaling, --delay-compensation or "
        "--memory-budget");
  });
  config.Example("paramo table alter ads --param lr=0.01");
  config.Example("paramo table alter ads --schedule warmup:500+cosine:10000");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  if (request.has_rule() && request.rule().name().empty()) {
    // Parameters alone are for the rule that the table has.
    auto table = control.DescribeTable(name, flags.timeout);
    if (!table.ok()) return Fail(table.status());
    request.mutable_rule()->set_name((*table)->spec().rule().name());
    for (const auto& param : (*table)->spec().rule().params()) {
      request.mutable_rule()->mutable_params()->insert(param);
    }
  }
  auto altered = control.AlterTable(request, flags.timeout);
  if (!altered.ok()) return Fail(altered.status());
  return ShowTable(flags, **altered);
}

int RunTableDrop(const Args& args) {
  ClusterFlags flags;
  std::string name;
  bool yes = false;
  Config config("paramo table drop", "removes a table and its rows, for good");
  config.Positional("table", name, "its name");
  config.Switch("yes", yes, "really; nothing brings the rows back").FlagOnly();
  flags.AddTo(config);
  config.Check([&]() -> absl::Status {
    if (yes) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "this removes the rows for good; repeat it with --yes");
  });
  config.Example("paramo table drop ads --yes");
  if (auto status = config.ParseMain(args)) return *status;
  client::Control control(flags.address);
  const absl::Status dropped = control.DropTable(name, flags.timeout);
  if (!dropped.ok()) return Fail(dropped);
  Print(absl::StrCat("dropped ", name, "\n"));
  return kExitOk;
}

}  // namespace paramo::cli
