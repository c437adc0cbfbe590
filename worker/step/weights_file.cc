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

}  // namespace paramo
