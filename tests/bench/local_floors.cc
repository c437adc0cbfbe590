#include "tests/bench/local_floors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/descriptor.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "server/table/table_shard.h"
#include "tests/bench/machine.h"

namespace paramo::bench {
namespace {

// More than the caches hold.
constexpr size_t kMemoryBytes = 64 << 20;
// Where an append starts anew: enough for the disk to be asked, not to fill it.
constexpr size_t kFileBytesMax = size_t{1} << 30;
// Between two looks at the clock, which cost as much as a piece of 1 KB.
constexpr size_t kCopyBytes = 1 << 20;
constexpr size_t kRuleBatches = 64;

// A table all of whose rows are there, and requests to it.
class RuleTable {
 public:
  RuleTable(const std::string& rule, uint32_t dim, size_t rows,
            uint64_t table_rows)
      : values_(rows * dim, 0.01f) {
    TableConfig config;
    config.name = "bench";
    config.dim = dim;
    config.rule = std::move(*MakeRule(rule, {}));
    table_ = std::make_unique<TableShard>(config, /*shard=*/0);
    for (size_t i = 0; i < rows; ++i) grads_.push_back(&values_[i * dim]);
    std::vector<Key> keys(1);
    for (uint64_t k = 0; k < table_rows; ++k) {
      keys[0] = Mix64(k);
      table_->Apply(keys, grads_.data(), {.lsn = ++lsn_});
    }
    BitGen gen(/*seed=*/7);
    for (size_t b = 0; b < kRuleBatches; ++b) {
      std::set<Key> sorted;
      const size_t wanted = std::min<uint64_t>(rows, table_rows);
      while (sorted.size() < wanted)
        sorted.insert(Mix64(gen.Below(table_rows)));
      batches_.emplace_back(sorted.begin(), sorted.end());
    }
  }
  void Push() {
    table_->Apply(batches_[lsn_ % kRuleBatches], grads_.data(),
                  {.lsn = lsn_ + 1});
    ++lsn_;
  }

 private:
  const std::vector<float> values_;
  std::vector<const float*> grads_;
  std::unique_ptr<TableShard> table_;
  std::vector<std::vector<Key>> batches_;
  Lsn lsn_ = 0;
};

}  // namespace

absl::StatusOr<Sample> Repeat(absl::Duration time, double bytes, double rows,
                              const std::function<absl::Status()>& step) {
  const absl::Time start = absl::Now();
  const double cpu = CpuSeconds({::getpid()});
  Sample sample;
  do {
    PARAMO_RETURN_IF_ERROR(step());
    ++sample.messages;
  } while (absl::Now() - start < time);
  sample.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  sample.cpu_seconds = CpuSeconds({::getpid()}) - cpu;
  sample.bytes = sample.messages * bytes;
  sample.rows = sample.messages * rows;
  return sample;
}

Subject CopyFloor(size_t bytes) {
  auto from = std::make_shared<std::string>(std::max(kMemoryBytes, bytes), 'f');
  auto to = std::make_shared<std::string>(from->size(), 't');
  const size_t pieces = std::max<size_t>(1, kCopyBytes / bytes);
  auto run = [=, at = size_t{0}](absl::Duration time) mutable {
    return Repeat(time, static_cast<double>(pieces * bytes), 0, [&] {
      for (size_t i = 0; i < pieces; ++i, at += bytes) {
        if (at + bytes > from->size()) at = 0;
        std::memcpy(to->data() + at, from->data() + at, bytes);
      }
      return absl::OkStatus();
    });
  };
  return {.name = "memcpy", .run = std::move(run)};
}

Subject AppendFloor(const std::string& directory, size_t bytes,
                    std::function<size_t()> sync_bytes) {
  const std::string path = absl::StrCat(directory, "/append");
  auto run = [=, block = std::string(bytes, 'b')](
                 absl::Duration time) -> absl::StatusOr<Sample> {
    const Descriptor fd(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd.valid()) return ErrnoStatus(errno, path);
    const size_t sync_every = sync_bytes();
    size_t written = 0;
    size_t unsynced = 0;
    return Repeat(time, static_cast<double>(bytes), 0, [&]() -> absl::Status {
      const ssize_t part = ::write(fd.get(), block.data(), bytes);
      if (part != static_cast<ssize_t>(bytes)) return ErrnoStatus(errno, path);
      written += bytes;
      unsynced += bytes;
      if (sync_every > 0 && unsynced >= sync_every) {
        if (::fdatasync(fd.get()) != 0) return ErrnoStatus(errno, path);
        unsynced = 0;
      }
      if (written < kFileBytesMax) return absl::OkStatus();
      written = 0;
      return ::ftruncate(fd.get(), 0) == 0 &&
                     ::lseek(fd.get(), 0, SEEK_SET) == 0
                 ? absl::OkStatus()
                 : ErrnoStatus(errno, path);
    });
  };
  return {.name = "append", .run = std::move(run)};
}

Subject RuleFloor(const std::string& rule, uint32_t dim, size_t rows,
                  uint64_t table_rows) {
  auto table = std::make_shared<RuleTable>(rule, dim, rows, table_rows);
  auto run = [=](absl::Duration time) {
    return Repeat(time, 4.0 * dim * static_cast<double>(rows),
                  static_cast<double>(rows), [&] {
                    table->Push();
                    return absl::OkStatus();
                  });
  };
  return {.name = absl::StrCat("rule ", rule), .run = std::move(run)};
}

}  // namespace paramo::bench
