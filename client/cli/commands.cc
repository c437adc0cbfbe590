#include "client/cli/commands.h"

#include <cstdio>

#include "absl/strings/str_join.h"

namespace paramo::cli {

void ClusterFlags::AddTo(Config& config) {
  config.Addresses("address", address, "any address of the cluster");
  config.Duration("timeout", timeout,
                  {absl::Milliseconds(1), absl::Minutes(10)},
                  "give up after this");
  AddOutput(config, output);
  config.Check([this]() -> absl::Status {
    if (!address.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "no cluster is named; give --address HOST:PORT or set PARAMO_ADDRESS "
        "(`paramo dev` starts a cluster and prints its address)");
  });
}

std::string ClusterFlags::Addresses() const {
  return absl::StrJoin(address, ",");
}

void AddOutput(Config& config, std::string& output) {
  config.Choice("output", output, {"table", "json"}, "form of the answer");
}

int Fail(const absl::Status& status) {
  std::fflush(stdout);
  std::fprintf(stderr, "paramo: %s\n", std::string(status.message()).c_str());
  return kExitFailure;
}

int ShowRecords(const ClusterFlags& flags, const Records& records) {
  Print(flags.json() ? records.Json() + "\n" : records.Table());
  return kExitOk;
}

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace paramo::cli
