#include "paramo/table.h"

#include "client/core/core.h"
#include "paramo/tensor.h"

namespace paramo {

using client::CallOptions;
using client::Core;

namespace {

CallOptions ToCall(const PullOptions& options) {
  CallOptions call;
  call.clock = options.clock;
  call.codec = options.codec;
  call.deadline = options.deadline;
  return call;
}

CallOptions ToCall(const PushOptions& options) {
  CallOptions call;
  call.clock = options.clock;
  call.codec = options.codec;
  call.examples = options.examples;
  call.deadline = options.deadline;
  return call;
}

}  // namespace

inline namespace sdk {

// ---- Parts ------------------------------------------------------------------

PullPart::PullPart(const Table& table, std::span<const uint64_t> keys,
                   std::span<float> rows)
    : handle(table.handle_), keys(keys), rows(rows) {}

PullPart::PullPart(const Tensor& tensor, std::span<float> values)
    : handle(tensor.handle_), whole(true), rows(values) {}

PushPart::PushPart(const Table& table, std::span<const uint64_t> keys,
                   std::span<const float> grads)
    : handle(table.handle_), keys(keys), grads(grads) {}

PushPart::PushPart(const Tensor& tensor, std::span<const float> grads)
    : handle(tensor.handle_), whole(true), grads(grads) {}

// ---- Several tables ---------------------------------------------------------

// Pulls carry the session of earlier pushes, so that they see them; before the
// first push there is nothing to see, and no session is opened for them.
Future<Status> Cluster::PullAsync(std::span<const PullPart> parts,
                                  const PullOptions& options) {
  return core_->Pull(parts, core_->OpenedSession(), ToCall(options));
}

Future<Result<PushAck>> Cluster::PushAsync(std::span<const PushPart> parts,
                                           const PushOptions& options) {
  return core_->Push(parts, {}, ToCall(options));
}

Status Cluster::Pull(std::span<const PullPart> parts,
                     const PullOptions& options) {
  return PullAsync(parts, options).get();
}

Result<PushAck> Cluster::Push(std::span<const PushPart> parts,
                              const PushOptions& options) {
  return PushAsync(parts, options).get();
}

Result<PushAck> Cluster::PushPull(std::span<const PushPart> pushes,
                                  std::span<const PullPart> pulls,
                                  const PushOptions& options) {
  return core_->Push(pushes, pulls, ToCall(options)).get();
}

// ---- Table ------------------------------------------------------------------

const TableInfo& Table::info() const { return handle_->info; }

Future<Status> Table::PullAsync(std::span<const uint64_t> keys,
                                std::span<float> rows,
                                const PullOptions& options) const {
  Core& core = *handle_->core;
  const PullPart part(*this, keys, rows);
  return core.Pull({&part, 1}, core.OpenedSession(), ToCall(options));
}

Future<Result<PushAck>> Table::PushAsync(std::span<const uint64_t> keys,
                                         std::span<const float> grads,
                                         const PushOptions& options) const {
  const PushPart part(*this, keys, grads);
  return handle_->core->Push({&part, 1}, {}, ToCall(options));
}

Status Table::Pull(std::span<const uint64_t> keys, std::span<float> rows,
                   const PullOptions& options) const {
  return PullAsync(keys, rows, options).get();
}

Result<PushAck> Table::Push(std::span<const uint64_t> keys,
                            std::span<const float> grads,
                            const PushOptions& options) const {
  return PushAsync(keys, grads, options).get();
}

Result<PushAck> Table::PushPull(std::span<const uint64_t> push_keys,
                                std::span<const float> grads,
                                std::span<const uint64_t> pull_keys,
                                std::span<float> rows,
                                const PushOptions& options) const {
  const PushPart push(*this, push_keys, grads);
  const PullPart pull(*this, pull_keys, rows);
  return handle_->core->Push({&push, 1}, {&pull, 1}, ToCall(options)).get();
}

// ---- Tensor -----------------------------------------------------------------

const TableInfo& Tensor::info() const { return handle_->info; }

uint64_t Tensor::size() const { return handle_->elements; }

Future<Status> Tensor::PullAsync(std::span<float> values,
                                 const PullOptions& options) const {
  Core& core = *handle_->core;
  const PullPart part(*this, values);
  return core.Pull({&part, 1}, core.OpenedSession(), ToCall(options));
}

Future<Result<PushAck>> Tensor::PushAsync(std::span<const float> grads,
                                          const PushOptions& options) const {
  const PushPart part(*this, grads);
  return handle_->core->Push({&part, 1}, {}, ToCall(options));
}

Status Tensor::Pull(std::span<float> values, const PullOptions& options) const {
  return PullAsync(values, options).get();
}

Result<PushAck> Tensor::Push(std::span<const float> grads,
                             const PushOptions& options) const {
  return PushAsync(grads, options).get();
}

}  // namespace sdk
}  // namespace paramo
