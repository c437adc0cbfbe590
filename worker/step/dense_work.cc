#include <utility>

#include "common/base/status.h"
#include "worker/model/local_steps.h"
#include "worker/step/client_status.h"
#include "worker/step/evaluate.h"
#include "worker/step/step_work.h"
#include "worker/step/weights_file.h"

namespace paramo {
namespace {

TableSpec TensorSpecOf(const JobFile& file, const TensorInfo& tensor,
                       size_t index) {
  TableSpec spec = file.SpecOf(tensor.name, index);
  spec.dim = static_cast<uint32_t>(file.table_block);
  spec.shape = tensor.shape;
  if (tensor.init == TensorInfo::Init::kXavier) {
    spec.initializer.kind = Initializer::Kind::kXavier;
    spec.initializer.fan_in = tensor.fan_in;
    spec.initializer.fan_out = tensor.fan_out;
  }
  return spec;
}

class DenseWork final : public StepWork {
 public:
  explicit DenseWork(Workload& work)
      : work_(work), steps_(*work.model, work.job.step_examples()) {
    for (const TensorInfo& tensor : work.model->tensors()) {
      values_.emplace_back(tensor.elements());
      gradients_[0].emplace_back(tensor.elements());
      gradients_[1].emplace_back(tensor.elements());
    }
    probe_ = values_.back();
    parameters_.assign(values_.begin(), values_.end());
  }

  absl::Status Open(Cluster& cluster) override {
    const std::vector<TensorInfo>& infos = work_.model->tensors();
    for (size_t t = 0; t < infos.size(); ++t) {
      Result<Tensor> tensor =
          cluster.CreateTensor(TensorSpecOf(work_.job, infos[t], t));
      if (!tensor.ok()) return FromClient(tensor.status());
      pull_parts_.emplace_back(*tensor, std::span<float>(values_[t]));
      for (int side = 0; side < 2; ++side) {
        std::vector<float>& gradient = gradients_[side][t];
        push_parts_[side].emplace_back(*tensor,
                                       std::span<const float>(gradient));
        gradient_spans_[side].push_back(absl::MakeSpan(gradient));
      }
      if (t + 1 == infos.size()) {
        probe_parts_.emplace_back(*tensor, std::span<float>(probe_));
      }
    }
    return absl::OkStatus();
  }

  bool pulls_ahead() const override { return true; }

  void Prepare(const Batch&, int) override {}
  const std::vector<PullPart>& PullParts(int) override { return pull_parts_; }
  double Gradients(const Batch& batch, uint64_t clock, int side) override {
    return steps_.Run(parameters_, batch, work_.job.LocalRate(clock),
                      gradient_spans_[side]);
  }
  const std::vector<PushPart>& PushParts(int side) override {
    return push_parts_[side];
  }
  const std::vector<PullPart>& ProbeParts() override { return probe_parts_; }

  absl::StatusOr<double> Evaluate() override {
    return Accuracy(*work_.model, parameters_, *work_.test);
  }
  absl::Status Save(const std::string& file) override {
    return SaveWeights(file, *work_.model, parameters_);
  }

 private:
  Workload& work_;
  LocalSteps steps_;
  std::vector<std::vector<float>> values_;        // as Model::tensors()
  std::vector<std::vector<float>> gradients_[2];  // by side
  std::vector<float> probe_;                      // the last tensor, unused
  std::vector<absl::Span<const float>> parameters_;
  std::vector<absl::Span<float>> gradient_spans_[2];
  std::vector<PullPart> pull_parts_;
  std::vector<PullPart> probe_parts_;
  std::vector<PushPart> push_parts_[2];
};

}  // namespace

std::unique_ptr<StepWork> MakeDenseWork(Workload& work) {
  return std::make_unique<DenseWork>(work);
}

std::unique_ptr<StepWork> MakeStepWork(Workload& work) {
  return work.sparse != nullptr ? MakeSparseWork(work) : MakeDenseWork(work);
}

}  // namespace paramo
