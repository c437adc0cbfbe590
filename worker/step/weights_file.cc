#include "worker/step/weights_file.h"

#include "client/cli/npz.h"
#include "common/base/check.h"
#include "common/base/status.h"

namespace paramo {

absl::Status SaveWeights(const std::string& file, const Model& model,
                         ConstTensors weights) {
  const std::vector<TensorInfo>& tensors = model.tensors();
  PARAMO_CHECK(weights.size() == tensors.size());
  PARAMO_ASSIGN_OR_RETURN(auto npz, cli::NpzWriter::Create(file));
  for (size_t t = 0; t < tensors.size(); ++t) {
    PARAMO_RETURN_IF_ERROR(
        npz->Begin(tensors[t].name, "<f4", tensors[t].shape));
    PARAMO_RETURN_IF_ERROR(npz->Append(weights[t]));
  }
  return npz->Finish();
}

absl::Status SaveRows(const std::string& file, const SparseModel& model,
                      ConstRows rows) {
  PARAMO_ASSIGN_OR_RETURN(auto npz, cli::NpzWriter::Create(file));
  for (size_t t = 0; t < model.tables().size(); ++t) {
    const SparseTable& table = model.tables()[t];
    PARAMO_CHECK(rows[t].size() == table.keys.size() * table.dim);
    PARAMO_RETURN_IF_ERROR(
        npz->Begin(table.name + "_keys", "<u8", {table.keys.size()}));
    PARAMO_RETURN_IF_ERROR(npz->Append(absl::Span<const uint64_t>(table.keys)));
    PARAMO_RETURN_IF_ERROR(npz->Begin(table.name + "_values", "<f4",
                                      {table.keys.size(), table.dim}));
    PARAMO_RETURN_IF_ERROR(npz->Append(rows[t]));
  }
  return npz->Finish();
}

}  // namespace paramo
