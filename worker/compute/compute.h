// The arithmetic a model is made of, behind one interface: the CPU implements
// it here, an accelerator implements the same and passes the same tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace paramo {

enum class Transpose { kNo, kYes };

// Matrices are dense, row-major f32. Pointers are memory of the backend (host
// memory for the CPU) and must not overlap unless a method says so.
// Threads: one at a time per object; objects are independent.
class Compute {
 public:
  virtual ~Compute() = default;

  // c = op(a) * op(b).
  // Shapes: op(a) [m, k], op(b) [k, n], c [m, n]; with kYes the matrix lies
  //         transposed in memory: a [k, m], b [n, k].
  virtual void Gemm(Transpose transpose_a, Transpose transpose_b, size_t m,
                    size_t n, size_t k, const float* a, const float* b,
                    float* c) = 0;

  // x[i, :] += bias.  Shapes: x [m, n], bias [n].
  virtual void AddBias(size_t m, size_t n, const float* bias, float* x) = 0;

  // out[j] = sum over i of x[i, j], in order of i.  Shapes: x [m, n], out [n].
  virtual void SumRows(size_t m, size_t n, const float* x, float* out) = 0;

  // x = max(x, 0), in place. A NaN stays a NaN, so that it is noticed.
  virtual void Relu(size_t count, float* x) = 0;

  // gradient = 0 where the ReLU's output `y` is 0, in place.
  virtual void ReluGradient(size_t count, const float* y, float* gradient) = 0;

  // Mean over the batch of -log softmax(logits)[label], and its gradient with
  // respect to the logits: (softmax - one-hot) / m.
  // Shapes: logits [m, n]; labels [m], each in [0, n); gradient [m, n], may be
  //         `logits` itself.
  virtual double SoftmaxCrossEntropy(size_t m, size_t n, const float* logits,
                                     const int32_t* labels,
                                     float* gradient) = 0;

  // out[i] = column of the largest x[i, :]; the first one wins a tie.
  virtual void ArgMax(size_t m, size_t n, const float* x, int32_t* out) = 0;
};

// On one core, with OpenBLAS: workers share a machine, and a second thread per
// worker would only take the first one's place. Sets OpenBLAS to one thread
// for the whole process.
std::unique_ptr<Compute> MakeCpuCompute();

}  // namespace paramo
