#include "tests/bench/store_cases.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/descriptor.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "server/log/log.h"
#include "server/store/row_store.h"
#include "tests/bench/local_floors.h"

namespace paramo::bench {
namespace {

constexpr uint32_t kStoreShards = 16;
constexpr uint64_t kStoredRows = 1'000'000;

std::string LogPath(const LogSpec& spec) {
  return absl::StrCat(spec.directory, "/log");
}

// Times `work`, which moves so many bytes.
absl::StatusOr<Sample> Once(double bytes,
                            const std::function<absl::Status()>& work) {
  return Repeat(absl::ZeroDuration(), bytes, /*rows=*/0, work);
}

// Payloads lie in 64 MB, more than the caches hold, as those from a network.
class Records {
 public:
  explicit Records(const LogSpec& spec) : memory_(size_t{64} << 20, 'p') {
    uint32_t crc = 0;
    const size_t count = std::max<size_t>(
        1, spec.bytes / (spec.record_bytes + sizeof(RecordHeader)));
    for (Lsn lsn = 1; lsn <= count; ++lsn) {
      RecordHeader header;
      header.kind = static_cast<uint16_t>(RecordKind::kPush);
      header.lsn = lsn;
      header.previous_crc = crc;
      header.length = static_cast<uint32_t>(spec.record_bytes);
      headers_.push_back(header);
      const Piece piece = PieceOf(headers_.size() - 1);
      SealRecord(headers_.back(), {&piece, 1});
      crc = headers_.back().crc32c;
    }
  }

  size_t size() const { return headers_.size(); }
  const RecordHeader& header(size_t i) const { return headers_[i]; }
  Piece PieceOf(size_t i) const {
    const size_t bytes = headers_[i].length;
    const size_t slot = i % (memory_.size() / bytes);
    return {reinterpret_cast<const uint8_t*>(memory_.data()) + slot * bytes,
            bytes};
  }
  double bytes() const {
    return static_cast<double>(size()) *
           static_cast<double>(sizeof(RecordHeader) + headers_[0].length);
  }

 private:
  std::string memory_;
  std::vector<RecordHeader> headers_;
};

// Lets the appender run so far ahead of the disk.
class Window final : public LogListener {
 public:
  explicit Window(Durability level) : level_(level) {}
  void OnLogged(absl::Span<const LogProgress> progress,
                Durability level) override {
    if (level == level_) Advance(progress[0].lsn);
  }
  void OnLogFailed(const absl::Status&) override { Advance(kFailed); }
  // Errors: UNAVAILABLE  the log failed
  absl::Status WaitFor(Lsn lsn) {
    Lsn done = done_.load(std::memory_order_acquire);
    while (done < lsn) {
      done_.wait(done);
      done = done_.load(std::memory_order_acquire);
    }
    if (done != kFailed) return absl::OkStatus();
    return absl::UnavailableError("the log failed");
  }

 private:
  static constexpr Lsn kFailed = ~Lsn{0};
  void Advance(Lsn lsn) {
    done_.store(lsn, std::memory_order_release);
    done_.notify_one();
  }
  const Durability level_;
  std::atomic<Lsn> done_{0};
};

absl::Status AppendAll(Log& log, const Records& records, Durability level,
                       Window& window) {
  const size_t record = records.header(0).length + sizeof(RecordHeader);
  const Lsn ahead = std::max<size_t>(4, (size_t{4} << 20) / record);
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordHeader& header = records.header(i);
    if (header.lsn > ahead) {
      PARAMO_RETURN_IF_ERROR(window.WaitFor(header.lsn - ahead));
    }
    const Piece piece = records.PieceOf(i);
    PARAMO_RETURN_IF_ERROR(log.Append(header, {&piece, 1}, level));
  }
  return window.WaitFor(records.size());
}

// A row of 64 floats with adagrad's slots, as the store sees one.
std::string MakeRecord(Key key, Lsn lsn) {
  std::string record(kStoredRowBytes, 'r');
  std::memcpy(record.data(), &key, sizeof key);
  std::memcpy(record.data() + sizeof key, &lsn, sizeof lsn);
  return record;
}

FlushBatch MakeBatch(size_t rows, BitGen& gen, Lsn lsn) {
  FlushBatch batch(kStoreShards);
  for (uint32_t shard = 0; shard < kStoreShards; ++shard) {
    batch[shard].shard = shard;
  }
  for (size_t i = 0; i < rows; ++i) {
    const Key key = Mix64(gen.Below(kStoredRows));
    batch[key % kStoreShards].AddRow(/*table=*/1, MakeRecord(key, lsn));
  }
  return batch;
}

absl::Status ReadFile(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string chunk(1 << 20, '\0');
  ssize_t got = 1;
  while (fd.valid() && got > 0) got = ::read(fd.get(), &chunk[0], chunk.size());
  return fd.valid() && got == 0 ? absl::OkStatus() : ErrnoStatus(errno, path);
}

}  // namespace

Subject LogAppend(const LogSpec& spec, Level level,
                  std::shared_ptr<size_t> batch_bytes) {
  auto records = std::make_shared<Records>(spec);
  auto run = [=](absl::Duration) -> absl::StatusOr<Sample> {
    std::filesystem::remove_all(LogPath(spec));
    LogOptions options;
    options.path = LogPath(spec);
    PARAMO_ASSIGN_OR_RETURN(auto log, Log::Open(options));
    const Durability durability =
        level == Level::kSynced ? Durability::kSynced : Durability::kWritten;
    Window window(durability);
    log->Start(window);
    auto sample = Once(records->bytes(), [&] {
      return AppendAll(*log, *records, durability, window);
    });
    const uint64_t batches = std::max<uint64_t>(1, log->Stats().batches);
    *batch_bytes = static_cast<size_t>(records->bytes()) / batches;
    PARAMO_RETURN_IF_ERROR(log->Stop());
    return sample;
  };
  return {.name = level == Level::kSynced ? "log, synced" : "log, written",
          .run = std::move(run)};
}

Subject LogRecover(const LogSpec& spec) {
  const double bytes = Records(spec).bytes();
  auto run = [=](absl::Duration) {
    return Once(bytes, [&]() -> absl::Status {
      LogOptions options;
      options.path = LogPath(spec);
      PARAMO_ASSIGN_OR_RETURN(auto log, Log::Open(options));
      if (log->TakeRecovery()->Shard(0).size() > 0) return absl::OkStatus();
      return absl::DataLossError("the log is empty");
    });
  };
  return {.name = "log, recovered", .run = std::move(run)};
}

Subject ReadFloor(const LogSpec& spec) {
  auto run = [=](absl::Duration) -> absl::StatusOr<Sample> {
    double bytes = 0;
    std::vector<std::string> files;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(LogPath(spec))) {
      if (!entry.is_regular_file()) continue;
      files.push_back(entry.path().string());
      bytes += static_cast<double>(entry.file_size());
    }
    return Once(bytes, [&]() -> absl::Status {
      for (const std::string& file : files) {
        PARAMO_RETURN_IF_ERROR(ReadFile(file));
      }
      return absl::OkStatus();
    });
  };
  return {.name = "read", .run = std::move(run)};
}

absl::StatusOr<Subject> WriteBehindCase(const std::string& directory,
                                        size_t rows) {
  const std::string path = absl::StrCat(directory, "/store");
  std::filesystem::create_directories(path);
  PARAMO_ASSIGN_OR_RETURN(auto opened, RowStore::Open(path, {}));
  std::shared_ptr<RowStore> store = std::move(opened);
  auto run = [=, gen = BitGen(/*seed=*/9),
              lsn = Lsn{0}](absl::Duration) mutable -> absl::StatusOr<Sample> {
    const FlushBatch batch = MakeBatch(rows, gen, ++lsn);
    auto sample = Once(static_cast<double>(rows * kStoredRowBytes),
                       [&] { return store->Ingest(batch); });
    if (sample.ok()) sample->rows = static_cast<double>(rows);
    return sample;
  };
  return Subject{.name = absl::StrCat("write-behind, ", rows, " rows"),
                 .run = std::move(run)};
}

}  // namespace paramo::bench
