// `paramo table export TABLE FILE.npz`: a dense tensor as one array `value` of
// its shape; a sparse table as `keys` u64 [n] and `values` f32 [n, dim].
#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/npz.h"
#include "client/cli/table_rows.h"
#include "client/core/control.h"
#include "common/base/status.h"
#include "paramo/cluster.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

absl::Status ExportTensor(Cluster& cluster, const TableInfo& info,
                          NpzWriter& out) {
  auto tensor = cluster.OpenTensor(info.spec.name);
  PARAMO_RETURN_IF_ERROR(FromClient(tensor.status()));
  std::vector<float> values(tensor->size());
  PARAMO_RETURN_IF_ERROR(FromClient(tensor->Pull(values, {.codec = "f32"})));
  PARAMO_RETURN_IF_ERROR(out.Begin("value", "<f4", info.spec.shape));
  return out.Append(values);
}

absl::Status ExportRows(Cluster& cluster, client::Control& control,
                        const TableInfo& info, absl::Duration timeout,
                        NpzWriter& out) {
  auto table = cluster.OpenTable(info.spec.name);
  PARAMO_RETURN_IF_ERROR(FromClient(table.status()));
  PARAMO_ASSIGN_OR_RETURN(std::vector<uint64_t> keys,
                          ListKeys(control, info.id, timeout));
  PARAMO_RETURN_IF_ERROR(out.Begin("keys", "<u8", {keys.size()}));
  PARAMO_RETURN_IF_ERROR(out.Append(absl::Span<const uint64_t>(keys)));
  const size_t dim = info.spec.dim;
  PARAMO_RETURN_IF_ERROR(out.Begin("values", "<f4", {keys.size(), dim}));
  const size_t rows_at_once = std::max<size_t>(1, kPullFloats / dim);
  std::vector<float> values;
  for (size_t at = 0; at < keys.size(); at += rows_at_once) {
    const size_t rows = std::min(rows_at_once, keys.size() - at);
    values.resize(rows * dim);
    PARAMO_RETURN_IF_ERROR(FromClient(
        table->Pull({keys.data() + at, rows}, values, {.codec = "f32"})));
    PARAMO_RETURN_IF_ERROR(out.Append(absl::Span<const float>(values)));
  }
  return absl::OkStatus();
}

absl::Status Export(const ClusterFlags& flags, const std::string& name,
                    const std::string& file) {
  ConnectOptions options;
  options.addresses = flags.Addresses();
  options.timeout =
      std::chrono::milliseconds(absl::ToInt64Milliseconds(flags.timeout));
  auto cluster = Cluster::Connect(options);
  PARAMO_RETURN_IF_ERROR(FromClient(cluster.status()));
  client::Control control(flags.address);
  PARAMO_ASSIGN_OR_RETURN(auto described,
                          control.DescribeTable(name, flags.timeout));
  TableInfo info;
  info.id = described->id();
  info.spec.name = name;
  info.spec.dim = described->spec().dim();
  info.spec.shape.assign(described->spec().tensor().shape().begin(),
                         described->spec().tensor().shape().end());
  PARAMO_ASSIGN_OR_RETURN(auto out, NpzWriter::Create(file));
  PARAMO_RETURN_IF_ERROR(
      described->spec().has_tensor()
          ? ExportTensor(**cluster, info, *out)
          : ExportRows(**cluster, control, info, flags.timeout, *out));
  return out->Finish();
}

}  // namespace

int RunTableExport(const Args& args) {
  ClusterFlags flags;
  std::string name;
  std::string file;
  Config config("paramo table export", "writes a table to a NumPy .npz file");
  config.Positional("table", name, "its name");
  config.Positional("file", file, "what to write; ends in .npz");
  flags.AddTo(config);
  config.Check([&]() -> absl::Status {
    if (absl::EndsWith(file, ".npz")) return absl::OkStatus();
    return absl::InvalidArgumentError("FILE must end in .npz, e.g. " + file +
                                      ".npz");
  });
  config.Example("paramo table export ads ads.npz");
  config.Example(
      "python3 -c \"import numpy; print(numpy.load('ads.npz')['keys'])\"");
  if (auto status = config.ParseMain(args)) return *status;
  const absl::Status status = Export(flags, name, file);
  if (!status.ok()) return Fail(status);
  Print(absl::StrCat("wrote ", file, "\n"));
  return kExitOk;
}

}  // namespace paramo::cli
