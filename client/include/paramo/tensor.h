// A dense tensor: pulled and pushed whole. And the parts of a request over
// several tables and tensors, which still is one message per server.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "paramo/table.h"

namespace paramo {
inline namespace sdk {

// Block width of a tensor when TableSpec::dim is 0: 16 KiB per row. Each shard
// that a request touches costs some 15 us, so small blocks are dear; larger ones
// would leave a layer of a megabyte unevenly spread over the servers.
inline constexpr uint32_t kTensorDimDefault = 4096;

// A handle: cheap to copy, valid as long as its Cluster. Threads: any.
class Tensor {
 public:
  const TableInfo& info() const;
  const std::string& name() const { return info().spec.name; }
  const std::vector<uint64_t>& shape() const { return info().spec.shape; }
  uint64_t size() const;  // elements: the product of the shape

  // Shapes:  values [size] f32 row-major.
  // Errors:  as Table's.
  // Threads: any. Blocks up to the deadline.
  Status Pull(std::span<float> values, const PullOptions& options = {}) const;
  Result<PushAck> Push(std::span<const float> grads,
                       const PushOptions& options = {}) const;

  Future<Status> PullAsync(std::span<float> values,
                           const PullOptions& options = {}) const;
  Future<Result<PushAck>> PushAsync(std::span<const float> grads,
                                    const PushOptions& options = {}) const;

 private:
  friend class client::Core;
  friend struct PullPart;
  friend struct PushPart;
  explicit Tensor(std::shared_ptr<const client::TableHandle> handle)
      : handle_(std::move(handle)) {}

  std::shared_ptr<const client::TableHandle> handle_;  // shared by copies
};

// One table's or tensor's part of a pull. Borrows its spans.
struct PullPart {
  PullPart(const Table& table, std::span<const uint64_t> keys,
           std::span<float> rows);
  PullPart(const Tensor& tensor, std::span<float> values);

  std::shared_ptr<const client::TableHandle> handle;
  bool whole = false;  // a tensor: every block, `keys` empty
  std::span<const uint64_t> keys;
  std::span<float> rows;
};

// One table's or tensor's part of a push. Borrows its spans.
struct PushPart {
  PushPart(const Table& table, std::span<const uint64_t> keys,
           std::span<const float> grads);
  PushPart(const Tensor& tensor, std::span<const float> grads);

  // The same with the values that the gradients were computed at, for tables
  // with delay compensation; as large as `grads`. Of a key that occurs more
  // than once its first row counts.
  // Errors: INVALID_ARGUMENT  the table has no delay compensation, or the
  //                           job's contributions wait for a round
  PushPart& WithPulled(std::span<const float> rows) {
    pulled = rows;
    return *this;
  }

  // `grads` are first values instead: rows (blocks) that no push has touched
  // are created with them, others stay as they are. So any number of workers
  // may bring the same ones. Keys without duplicates.
  // Errors: INVALID_ARGUMENT  duplicates; a NaN or an infinity; or the job's
  //                           contributions wait for a round
  PushPart& AsInitial() {
    initial = true;
    return *this;
  }

  std::shared_ptr<const client::TableHandle> handle;
  bool whole = false;  // a tensor: every block, `keys` empty
  std::span<const uint64_t> keys;
  std::span<const float> grads;
  std::span<const float> pulled;  // empty: not sent
  bool initial = false;
};

}  // namespace sdk
}  // namespace paramo
