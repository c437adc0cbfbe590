// `paramo`: finds the subcommand and runs it.
#include <signal.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/janitor.h"
#include "common/base/build.h"
#include "common/base/log.h"

namespace paramo::cli {
namespace {

struct Command {
  const char* group;  // "" when the name stands alone
  const char* name;
  const char* summary;
  int (*run)(const Args& args);
};

int RunVersion(const Args&) {
  Print(absl::StrCat(kBuild, "\n"));
  return kExitOk;
}

constexpr Command kCommands[] = {
    {"", "dev", "start a whole cluster on this machine", RunDev},
    {"", "demo", "start one, train a real model on it, judge the result",
     RunDemo},
    {"", "bench", "how fast it is on this machine, case by case", RunBench},
    {"", "status", "servers, shards, tables and jobs of a cluster", RunStatus},
    {"table", "create", "create a table", RunTableCreate},
    {"table", "list", "list tables", RunTableList},
    {"table", "describe", "show one table", RunTableDescribe},
    {"table", "alter", "change hyper-parameters of a table", RunTableAlter},
    {"table", "drop", "remove a table and its rows", RunTableDrop},
    {"table", "export", "write a table to a NumPy .npz file", RunTableExport},
    {"table", "neighbours", "rows that point the same way as one",
     RunTableNeighbours},
    {"server", "list", "servers, and how many shards they lead", RunServerList},
    {"server", "drain", "let other servers take what one holds",
     RunServerDrain},
    {"server", "undrain", "let a drained server take part again",
     RunServerUndrain},
    {"shard", "list", "shards, their primaries and replicas", RunShardList},
    {"shard", "describe", "show one shard", RunShardDescribe},
    {"shard", "transfer", "let another in-sync replica lead a shard",
     RunShardTransfer},
    {"shard", "unsafe-promote", "let a lost shard go on from what is left",
     RunShardUnsafePromote},
    {"job", "list", "list jobs", RunJobList},
    {"job", "describe", "show one job and its workers", RunJobDescribe},
    {"job", "stop", "stop a job after the current step", RunJobStop},
    {"config", "show", "settings in force, and where they come from",
     RunConfigShow},
    {"", "doctor", "what this machine lacks, and how to mend it", RunDoctor},
    {"", "version", "the version", RunVersion},
};

std::string FullName(const Command& command) {
  return absl::StrCat(command.group, *command.group == '\0' ? "" : " ",
                      command.name);
}

std::string Help(const std::string& group) {
  std::string out =
      group.empty()
          ? "paramo: a parameter server run as a service\n\n"
            "Usage: paramo COMMAND [FLAGS]\n\n"
          : absl::StrCat("Usage: paramo ", group, " COMMAND [FLAGS]\n\n");
  for (const Command& command : kCommands) {
    if (!group.empty() && group != command.group) continue;
    std::string line = absl::StrCat("  ", FullName(command));
    line.resize(20, ' ');
    absl::StrAppend(&out, line, command.summary, "\n");
  }
  if (group.empty()) {
    out +=
        "\nExamples:\n"
        "  paramo demo\n"
        "  paramo dev --servers 3\n"
        "  paramo status --address 127.0.0.1:7070\n"
        "\n`paramo COMMAND --help` says more.\n";
  }
  return out;
}

// What is wrong with `word`, and which word was probably meant.
int Unknown(const std::string& group, const std::string& word) {
  std::vector<std::string> words;
  for (const Command& command : kCommands) {
    if (group.empty()) {
      words.push_back(*command.group == '\0' ? command.name : command.group);
    } else if (group == command.group) {
      words.push_back(command.name);
    }
  }
  const std::string suggestion = Suggest(word, words);
  std::fprintf(
      stderr, "paramo: there is no command `%s%s%s`%s\n", group.c_str(),
      group.empty() ? "" : " ", Printable(word, 64).c_str(),
      suggestion.empty() ? "; `paramo --help` lists them" : suggestion.c_str());
  return kExitUsage;
}

bool IsHelp(const std::string& word) {
  return word == "--help" || word == "-h" || word == "help";
}

int Run(const Args& args) {
  if (args.empty()) {
    std::fputs(Help("").c_str(), stderr);
    return kExitUsage;
  }
  if (IsHelp(args[0])) return Print(Help("")), kExitOk;
  if (args[0] == "--version") return RunVersion({});
  if (args[0] == "janitor" && args.size() == 2) {
    return RunJanitor(args[1], absl::Seconds(15));
  }
  bool is_group = false;
  for (const Command& command : kCommands) {
    is_group |= args[0] == command.group;
  }
  const std::string group = is_group ? args[0] : "";
  const size_t words = is_group ? 2 : 1;
  if (args.size() < words) {
    std::fputs(Help(group).c_str(), stderr);
    return kExitUsage;
  }
  const std::string& name = args[words - 1];
  for (const Command& command : kCommands) {
    if (group == command.group && name == command.name) {
      return command.run(
          Args(args.begin() + static_cast<long>(words), args.end()));
    }
  }
  if (is_group && IsHelp(name)) return Print(Help(group)), kExitOk;
  return Unknown(group, name);
}

}  // namespace
}  // namespace paramo::cli

int main(int argc, char** argv) {
  // A closed pipe is an error of write(), not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  paramo::SetLog(paramo::LogLevel::kWarning, "paramo");
  return paramo::cli::Run(
      paramo::cli::Args(argv + (argc > 0 ? 1 : 0), argv + argc));
}
