// Records into a log on a disk: sealed, appended, and written by the log's own
// thread, whose pace the last ones wait for. The argument is the payload's
// bytes.
#include <cstdlib>
#include <filesystem>
#include <string>

#include "benchmark/benchmark.h"
#include "server/log/log.h"

namespace paramo {
namespace {

class NoListener final : public LogListener {
 public:
  void OnLogged(absl::Span<const LogProgress>, Durability) override {}
  void OnLogFailed(const absl::Status&) override { std::abort(); }
};

void SealOnly(benchmark::State& state) {
  const std::string payload(state.range(0), 'p');
  const Piece piece{reinterpret_cast<const uint8_t*>(payload.data()),
                    payload.size()};
  RecordHeader header = {};
  for (auto _ : state) {
    SealRecord(header, {&piece, 1});
    benchmark::DoNotOptimize(header);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(SealOnly)->Name("LogSeal")->Arg(256)->Arg(4096)->Arg(262144);

void Append(benchmark::State& state) {
  std::string directory =
      (std::filesystem::temp_directory_path() / "paramo-micro-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    state.SkipWithError("no temporary directory");
    return;
  }
  NoListener listener;
  LogOptions options;
  options.path = directory + "/log";
  auto log = Log::Open(options);
  if (!log.ok()) {
    state.SkipWithError(std::string(log.status().message()).c_str());
    return;
  }
  (*log)->TakeRecovery();
  (*log)->Start(listener);

  const std::string payload(state.range(0), 'p');
  const Piece piece{reinterpret_cast<const uint8_t*>(payload.data()),
                    payload.size()};
  RecordHeader header = {};
  header.kind = static_cast<uint16_t>(RecordKind::kPush);
  header.version = 1;
  for (auto _ : state) {
    ++header.lsn;
    header.previous_crc = header.crc32c;
    SealRecord(header, {&piece, 1});
    while (!(*log)->HasRoom(payload.size())) (void)(*log)->SyncAppended();
    const absl::Status appended =
        (*log)->Append(header, {&piece, 1}, Durability::kWritten);
    if (!appended.ok()) {
      state.SkipWithError(std::string(appended.message()).c_str());
      break;
    }
    (*log)->Release(0, header.lsn - 1);
  }
  (void)(*log)->Stop();
  state.SetBytesProcessed(state.iterations() * state.range(0));
  std::filesystem::remove_all(directory);
}
BENCHMARK(Append)
    ->Name("LogAppend")
    ->Arg(256)
    ->Arg(4096)
    ->Arg(262144)
    ->UseRealTime();

}  // namespace
}  // namespace paramo
