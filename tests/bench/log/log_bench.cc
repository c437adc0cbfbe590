// What the log costs above a plain write() of the same bytes, and how fast it
// is recovered. GB = 10^9 bytes; CPU of all threads, kernel included.
//
//   log_bench --dir /var/tmp/log_bench --record-bytes 65536
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/config/config.h"
#include "server/log/log.h"

namespace paramo {
namespace {

struct Options {
  std::string dir = "/var/tmp/log_bench";
  int record_bytes = 65536;
  int megabytes = 1000;
  int synced_megabytes = 200;
  int runs = 3;
};

// A figure of a run that failed is worthless: say so and stop.
void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", ToString(status).c_str());
  std::exit(1);
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return t.tv_sec + t.tv_usec / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Prints a line about the time from its making to its end.
class Measure {
 public:
  explicit Measure(const char* what) : what_(what) {}
  void End(double bytes, const std::string& more = "") {
    const double wall = absl::ToDoubleSeconds(absl::Now() - start_);
    const double cpu = CpuSeconds() - cpu_;
    std::printf("%-22s %6.2f GB/s  %5.3f CPU s/GB  %s\n", what_,
                bytes / wall / 1e9, cpu / (bytes / 1e9), more.c_str());
    std::fflush(stdout);
  }

 private:
  const char* what_;
  const absl::Time start_ = absl::Now();
  const double cpu_ = CpuSeconds();
};

// Payloads lie in 64 MB, more than the caches hold, as those from a network.
class Records {
 public:
  Records(size_t bytes, size_t total) : memory_(size_t{64} << 20, 'p') {
    uint32_t crc = 0;
    for (Lsn lsn = 1; lsn * (bytes + sizeof(RecordHeader)) <= total; ++lsn) {
      RecordHeader header;
      header.kind = static_cast<uint16_t>(RecordKind::kPush);
      header.lsn = lsn;
      header.previous_crc = crc;
      header.length = static_cast<uint32_t>(bytes);
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

// Lets the appender run so many bytes ahead of the disk.
class Window final : public LogListener {
 public:
  explicit Window(Durability level) : level_(level) {}
  void OnLogged(absl::Span<const LogProgress> progress,
                Durability level) override {
    if (level != level_) return;
    done_.store(progress[0].lsn, std::memory_order_release);
    done_.notify_one();
  }
  void OnLogFailed(const absl::Status& status) override { Check(status); }
  void WaitFor(Lsn lsn) {
    Lsn done = done_.load(std::memory_order_acquire);
    while (done < lsn) {
      done_.wait(done);
      done = done_.load(std::memory_order_acquire);
    }
  }

 private:
  const Durability level_;
  std::atomic<Lsn> done_{0};
};

// The floor: write() of as many bytes at a time as the log's blocks have, and
// fdatasync() as often as the log needs it, at a segment's end at least.
void PlainWrite(const Options& options, const Records& records,
                size_t sync_bytes) {
  const std::string path = options.dir + "/plain";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) Check(ErrnoStatus(errno, path));
  const std::string block(kLogBlockBytes, 'p');
  const auto total = static_cast<size_t>(records.bytes());
  Measure measure(sync_bytes == kLogSegmentBytesDefault
                      ? "plain write"
                      : "plain write, synced");
  size_t unsynced = 0;
  for (size_t at = 0; at < total; at += block.size()) {
    const size_t part = std::min(block.size(), total - at);
    if (write(fd, block.data(), part) != static_cast<ssize_t>(part)) {
      Check(ErrnoStatus(errno, path));
    }
    unsynced += part;
    if (unsynced < sync_bytes) continue;
    if (fdatasync(fd) != 0) Check(ErrnoStatus(errno, path));
    unsynced = 0;
  }
  measure.End(static_cast<double>(total));
  close(fd);
  std::filesystem::remove(path);
}

LogOptions OptionsOf(const Options& options) {
  LogOptions log;
  log.path = options.dir + "/log";
  return log;
}

// Returns the bytes of the mean batch.
size_t Append(const Options& options, const Records& records,
              Durability level) {
  std::filesystem::remove_all(options.dir + "/log");
  auto log = Log::Open(OptionsOf(options));
  Check(log.status());
  Window window(level);
  (*log)->Start(window);
  const bool synced = level == Durability::kSynced;
  const size_t record = records.header(0).length + sizeof(RecordHeader);
  const Lsn ahead = std::max<size_t>(4, (size_t{4} << 20) / record);
  Measure measure(synced ? "append, synced" : "append");
  for (size_t i = 0; i < records.size(); ++i) {
    const RecordHeader& header = records.header(i);
    if (header.lsn > ahead) window.WaitFor(header.lsn - ahead);
    const Piece piece = records.PieceOf(i);
    Check((*log)->Append(header, {&piece, 1}, level));
  }
  window.WaitFor(records.size());
  const LogStats stats = (*log)->Stats();
  measure.End(records.bytes(),
              absl::StrCat(stats.batches, " batches, ", stats.syncs, " syncs"));
  Check((*log)->Stop());
  return static_cast<size_t>(records.bytes()) / stats.batches;
}

void Seal(const Records& records) {
  Measure measure("seal (the caller's)");
  for (size_t i = 0; i < records.size(); ++i) {
    RecordHeader header = records.header(i);
    const Piece piece = records.PieceOf(i);
    SealRecord(header, {&piece, 1});
    if (header.crc32c != records.header(i).crc32c) std::abort();
  }
  measure.End(records.bytes());
}

void Recover(const Options& options, const Records& records) {
  Measure measure("recover");
  auto log = Log::Open(OptionsOf(options));
  Check(log.status());
  const auto recovery = (*log)->TakeRecovery();
  if (recovery->Shard(0).size() != records.size()) std::abort();
  measure.End(records.bytes(), absl::StrCat(records.size(), " records"));
}

int Main(int argc, char** argv) {
  Options options;
  Config config("log_bench", "what the log costs, and its recovery");
  config.Text("dir", options.dir, "where to write; made and emptied");
  config.Int("record-bytes", options.record_bytes, {1, 64 << 20},
             "payload of a record");
  config.Int("megabytes", options.megabytes, {1, 100'000}, "appended");
  config.Int("synced-megabytes", options.synced_megabytes, {1, 100'000},
             "appended and synced");
  config.Int("runs", options.runs, {1, 1000}, "rounds of all measurements");
  if (auto status = config.ParseMain(argc, argv)) return *status;

  std::filesystem::create_directories(options.dir);
  const auto bytes = static_cast<size_t>(options.record_bytes);
  const Records records(bytes, size_t{1'000'000} * options.megabytes);
  const Records synced(bytes, size_t{1'000'000} * options.synced_megabytes);
  for (int run = 0; run < options.runs; ++run) {
    PlainWrite(options, records, kLogSegmentBytesDefault);
    Append(options, records, Durability::kWritten);
    Seal(records);
    Recover(options, records);
    const size_t batch = Append(options, synced, Durability::kSynced);
    PlainWrite(options, synced, batch);
  }
  std::filesystem::remove_all(options.dir + "/log");
  return 0;
}

}  // namespace
}  // namespace paramo

int main(int argc, char** argv) { return paramo::Main(argc, argv); }
