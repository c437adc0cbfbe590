// `paramo config show`: the settings of one binary. It asks the binary itself,
// which alone knows them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/process.h"

namespace paramo::cli {
namespace {

absl::Status Ask(const std::string& binary, const std::string& form,
                 const std::string& file) {
  std::vector<std::string> args = {"--show-config=" + form};
  if (!file.empty()) args.insert(args.end(), {"--config", file});
  return ReplaceSelf("paramo-" + binary, std::move(args));
}

}  // namespace

int RunConfigShow(const Args& args) {
  std::string binary = "server";
  std::string output = "table";
  bool origin = false;
  Config config("paramo config show", "the settings in force of one binary");
  config.LeaveFileAlone();  // it is the other binary's
  config.OptionalPositional("binary", binary,
                            "server (default), coordinator or worker");
  config.Switch("origin", origin, "say where each value comes from").FlagOnly();
  AddOutput(config, output);
  config.Check([&]() -> absl::Status {
    const std::vector<std::string> known = {"server", "coordinator", "worker"};
    if (std::count(known.begin(), known.end(), binary) == 1) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("`", binary, "` is not one of server, coordinator, worker",
                     Suggest(binary, known)));
  });
  config.Example("paramo config show server --origin --config server.yaml");
  config.Example("PARAMO_LOG_LEVEL=debug paramo config show coordinator");
  if (auto status = config.ParseMain(args)) return *status;
  return Fail(Ask(binary,
                  output == "json" ? "json"
                  : origin         ? "origin"
                                   : "values",
                  config.file()));
}

}  // namespace paramo::cli
