// All sources of a program's settings at once: first line the command line,
// its arguments separated by tabs; second line the environment likewise; the
// rest the --config file. Oracle: whatever is accepted keeps its range, and
// is shown as valid JSON.
#include "common/config/config.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/config/utf8.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

// One setting of every kind.
struct Settings {
  std::string listen = "127.0.0.1:0";
  std::string level = "info";
  std::string name = "n";
  bool on = false;
  uint32_t count = 3;
  size_t bytes = 4096;
  double rate = 0.5;
  absl::Duration interval = absl::Seconds(2);
  std::vector<std::string> servers;
  std::vector<std::string> params;
  std::string what;

  void Declare(Config& config) {
    config.Address("listen", listen, "serve here");
    config.Choice("level", level, {"info", "debug"}, "log level");
    config.Text("name", name, "any text");
    config.Switch("on", on, "a switch");
    config.Int("count", count, {1, 100}, "a number");
    config.Size("bytes", bytes, {1, 1 << 20}, "a size");
    config.Number("rate", rate, {0, 1}, "a share");
    config.Duration("interval", interval,
                    {absl::Milliseconds(1), absl::Hours(1)}, "a time");
    config.Addresses("servers", servers, "where");
    config.Texts("param", params, "NAME=VALUE").FlagOnly();
    config.OptionalPositional("what", what, "a positional");
  }

  void CheckRanges() const {
    PARAMO_CHECK(ParseHostPort(listen).ok());
    PARAMO_CHECK(level == "info" || level == "debug");
    PARAMO_CHECK(FindBadText(name, false) == absl::string_view::npos);
    PARAMO_CHECK(FindBadText(what, false) == absl::string_view::npos);
    PARAMO_CHECK(count >= 1 && count <= 100);
    PARAMO_CHECK(bytes >= 1 && bytes <= 1 << 20);
    PARAMO_CHECK(rate >= 0 && rate <= 1);
    PARAMO_CHECK(interval >= absl::Milliseconds(1) &&
                 interval <= absl::Hours(1));
    for (const std::string& server : servers) {
      PARAMO_CHECK(ParseHostPort(server).ok());
    }
  }
};

Environment ReadEnvironment(const std::string& line) {
  Environment environment;
  for (absl::string_view entry : absl::StrSplit(line, '\t')) {
    const std::vector<std::string> halves =
        absl::StrSplit(entry, absl::MaxSplits('=', 1));
    if (halves.size() == 2) environment.emplace(halves[0], halves[1]);
  }
  environment.erase("PARAMO_CONFIG");  // files of this machine
  return environment;
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  std::vector<std::string> args =
      absl::StrSplit(input.TakeUntil('\n'), '\t', absl::SkipEmpty());
  const Environment environment = ReadEnvironment(input.TakeUntil('\n'));
  const fuzz::MemoryFile file(input.Rest());
  for (const std::string& arg : args) {
    if (absl::StartsWith(arg, "--config")) return 0;
  }
  args.push_back("--config=" + file.path());

  Settings settings;
  Config config("fuzz", "reads settings");
  settings.Declare(config);
  const absl::Status status = config.Parse(args, environment);
  PARAMO_CHECK(status.ok() || absl::IsInvalidArgument(status));
  if (status.ok()) settings.CheckRanges();
  PARAMO_CHECK(nlohmann::json::accept(config.Json(/*origin=*/true)));
  PARAMO_CHECK(!config.Help().empty() && !config.Table(true).empty());
  return 0;
}
