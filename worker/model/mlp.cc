// Forward:   a[0] = x;  z[i] = a[i] w[i] + b[i];  a[i+1] = relu(z[i])
// Backward:  d[last] = (softmax - one-hot) / m
//            dw[i] = a[i]^T d[i];  db[i] = column sums of d[i]
//            d[i-1] = (d[i] w[i]^T) where a[i] > 0
// Source: Rumelhart, Hinton, Williams 1986.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "worker/model/model.h"

namespace paramo {
namespace {

class Mlp final : public Model {
 public:
  Mlp(std::vector<size_t> layers, Compute& compute)
      : layers_(std::move(layers)), compute_(compute) {
    PARAMO_CHECK(layers_.size() >= 2);
    for (size_t i = 0; i < depth(); ++i) {
      const size_t in = layers_[i];
      const size_t out = layers_[i + 1];
      TensorInfo weights{absl::StrCat("w", i),
                         {in, out},
                         TensorInfo::Init::kXavier,
                         static_cast<uint32_t>(in),
                         static_cast<uint32_t>(out)};
      TensorInfo bias{absl::StrCat("b", i), {out}};
      tensors_.push_back(std::move(weights));
      tensors_.push_back(std::move(bias));
    }
    activations_.resize(depth());
  }

  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

  double Gradients(ConstTensors parameters, const Batch& batch,
                   Tensors gradients) override {
    PARAMO_CHECK(gradients.size() == tensors_.size());
    const size_t m = batch.size;
    Forward(parameters, m, batch.features.data());
    std::vector<float>* delta = &activations_.back();
    const double loss = compute_.SoftmaxCrossEntropy(
        m, layers_.back(), delta->data(), batch.labels.data(), delta->data());
    for (size_t i = depth(); i-- > 0;) {
      const float* input =
          i == 0 ? batch.features.data() : activations_[i - 1].data();
      const size_t in = layers_[i];
      const size_t out = layers_[i + 1];
      compute_.Gemm(Transpose::kYes, Transpose::kNo, in, out, m, input,
                    delta->data(), gradients[2 * i].data());
      compute_.SumRows(m, out, delta->data(), gradients[2 * i + 1].data());
      if (i == 0) break;
      std::vector<float>& previous = deltas_[i % 2];
      previous.resize(m * in);
      compute_.Gemm(Transpose::kNo, Transpose::kYes, m, in, out, delta->data(),
                    parameters[2 * i].data(), previous.data());
      compute_.ReluGradient(m * in, input, previous.data());
      delta = &previous;
    }
    return loss;
  }

  void Predict(ConstTensors parameters, size_t count, const float* features,
               int32_t* labels) override {
    Forward(parameters, count, features);
    compute_.ArgMax(count, layers_.back(), activations_.back().data(), labels);
  }

 private:
  size_t depth() const { return layers_.size() - 1; }

  // Leaves relu(z[i]) in activations_[i], and the logits in the last one.
  void Forward(ConstTensors parameters, size_t m, const float* features) {
    PARAMO_CHECK(parameters.size() == tensors_.size());
    const float* input = features;
    for (size_t i = 0; i < depth(); ++i) {
      const size_t out = layers_[i + 1];
      std::vector<float>& z = activations_[i];
      z.resize(m * out);
      compute_.Gemm(Transpose::kNo, Transpose::kNo, m, out, layers_[i], input,
                    parameters[2 * i].data(), z.data());
      compute_.AddBias(m, out, parameters[2 * i + 1].data(), z.data());
      if (i + 1 < depth()) compute_.Relu(z.size(), z.data());
      input = z.data();
    }
  }

  const std::vector<size_t> layers_;
  Compute& compute_;
  std::vector<TensorInfo> tensors_;  // w0, b0, w1, b1, ...
  std::vector<std::vector<float>> activations_;
  std::vector<float> deltas_[2];  // of two neighbouring layers, in turn
};

}  // namespace

size_t TensorInfo::elements() const {
  size_t count = 1;
  for (uint64_t size : shape) count *= size;
  return count;
}

std::unique_ptr<Model> MakeMlp(std::vector<size_t> layers, Compute& compute) {
  return std::make_unique<Mlp>(std::move(layers), compute);
}

}  // namespace paramo
