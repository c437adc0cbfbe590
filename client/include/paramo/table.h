// A table of rows by key: pull rows, push gradients.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "paramo/future.h"
#include "paramo/options.h"
#include "paramo/spec.h"
#include "paramo/status.h"

namespace paramo {

namespace client {
class Core;
struct TableHandle;
}  // namespace client

inline namespace sdk {

// A handle: cheap to copy, valid as long as its Cluster. Threads: any.
class Table {
 public:
  // As the catalogue had it when the table was opened.
  const TableInfo& info() const;
  const std::string& name() const { return info().spec.name; }
  uint32_t dim() const { return info().spec.dim; }

  // Fetches rows. A missing row answers the table's initial value and is not
  // created.
  //
  // Shapes:  keys [n] u64, any order, duplicates answered each;
  //          rows [n, dim] f32 row-major, written. Sorted keys are faster.
  // Effects: on an error the contents of `rows` are unspecified.
  // Errors:  INVALID_ARGUMENT   rows.size() != n * dim
  //          NOT_FOUND          the table was dropped
  //          DEADLINE_EXCEEDED  with what it was waiting for
  // Threads: any. Blocks up to the deadline.
  // Cost:    one request per server (more above 4 MiB), one copy of the rows.
  Status Pull(std::span<const uint64_t> keys, std::span<float> rows,
              const PullOptions& options = {}) const;

  // Applies one gradient per key.
  //
  // Shapes:  keys [n] u64, any order; grads [n, dim] f32 row-major. Gradients
  //          of the same key are summed, in the order given, and applied once.
  // Effects: exactly once per shard, whatever is retried. Not atomic over
  //          shards: an error may leave other shards applied, and
  //          Status::applied() says which case it is.
  // Errors:  INVALID_ARGUMENT    sizes; or NaN/Inf under policy kReject
  //          NOT_FOUND           the table was dropped
  //          FAILED_PRECONDITION the session is over (expired or fenced)
  //          DEADLINE_EXCEEDED   applied() is kNo when nothing was sent, else
  //                              kUnknown: 0 or 1 times, never twice
  // Threads: any. Blocks up to the deadline.
  Result<PushAck> Push(std::span<const uint64_t> keys,
                       std::span<const float> grads,
                       const PushOptions& options = {}) const;

  // Pushes, then pulls in the same messages: on every shard the pull sees the
  // push. The two key lists may differ.
  Result<PushAck> PushPull(std::span<const uint64_t> push_keys,
                           std::span<const float> grads,
                           std::span<const uint64_t> pull_keys,
                           std::span<float> rows,
                           const PushOptions& options = {}) const;

  // The same without waiting. All spans must stay valid, and those that are
  // read unchanged, until the future is ready; it is at the latest at the
  // deadline. Pushes of one thread reach each shard in the order made; a pull
  // need not see a push that has not been answered. The first push of a
  // Cluster opens its session, and waits for the coordinator to do so.
  Future<Status> PullAsync(std::span<const uint64_t> keys,
                           std::span<float> rows,
                           const PullOptions& options = {}) const;
  Future<Result<PushAck>> PushAsync(std::span<const uint64_t> keys,
                                    std::span<const float> grads,
                                    const PushOptions& options = {}) const;

 private:
  friend class client::Core;
  friend struct PullPart;
  friend struct PushPart;
  explicit Table(std::shared_ptr<const client::TableHandle> handle)
      : handle_(std::move(handle)) {}

  std::shared_ptr<const client::TableHandle> handle_;  // shared by copies
};

}  // namespace sdk
}  // namespace paramo
