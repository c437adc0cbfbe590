// `paramo config show`: the settings of one binary. It asks the binary itself,
// which alone knows them.
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/process.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// Replaces this process; returns only when it cannot.
absl::Status Ask(const std::string& binary, const std::string& form,
                 const std::string& file) {
  PARAMO_ASSIGN_OR_RETURN(std::string path, SiblingBinary("paramo-" + binary));
  std::vector<std::string> args = {path, "--show-config=" + form};
  if (!file.empty()) args.insert(args.end(), {"--config", file});
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return ErrnoStatus(errno, absl::StrCat("cannot run ", path));
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
