// The subcommands of `paramo`, one file each. Every function is a main: it
// takes the arguments after its name and returns an exit status.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/output.h"
#include "common/config/config.h"

namespace paramo::cli {

using Args = std::vector<std::string>;

int RunDev(const Args& args);
int RunDemo(const Args& args);
int RunBench(const Args& args);
int RunStatus(const Args& args);
int RunDoctor(const Args& args);
int RunConfigShow(const Args& args);
int RunTableCreate(const Args& args);
int RunTableList(const Args& args);
int RunTableDescribe(const Args& args);
int RunTableAlter(const Args& args);
int RunTableDrop(const Args& args);
int RunTableExport(const Args& args);
int RunTableNeighbours(const Args& args);
int RunShardList(const Args& args);
int RunShardDescribe(const Args& args);
int RunShardTransfer(const Args& args);
int RunShardUnsafePromote(const Args& args);
int RunServerList(const Args& args);
int RunServerDrain(const Args& args);
int RunServerUndrain(const Args& args);
int RunJobList(const Args& args);
int RunJobDescribe(const Args& args);
int RunJobStop(const Args& args);

// Settings that several commands share.
struct ClusterFlags {
  std::vector<std::string> address;  // --address, PARAMO_ADDRESS
  std::string output = "table";      // table or json
  absl::Duration timeout = absl::Seconds(10);

  void AddTo(Config& config);
  bool json() const { return output == "json"; }
  // The addresses, comma separated.
  std::string Addresses() const;
};
void AddOutput(Config& config, std::string& output);
// Prints them in the form that --output asks for; returns kExitOk.
int ShowRecords(const ClusterFlags& flags, const Records& records);

// Prints "paramo: what is wrong" to stderr; returns kExitFailure.
int Fail(const absl::Status& status);
// Prints to stdout; a reader that went away is no error.
void Print(const std::string& text);

}  // namespace paramo::cli
