#include "client/cli/local_cluster.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/core/control.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/file.h"
#include "paramo/v1/cluster.pb.h"

namespace paramo::cli {
namespace {

// A cluster of 16 servers starts within 3 s on two busy cores.
constexpr absl::Duration kReadyWithin = absl::Seconds(60);
constexpr absl::Duration kPollEvery = absl::Milliseconds(20);
constexpr absl::Duration kAskWithin = absl::Seconds(5);
// Servers write their dirty rows when they stop.
constexpr absl::Duration kStopGrace = absl::Seconds(10);
constexpr size_t kReadyFileBytesMax = 4096;

absl::Status Interrupted() {
  return absl::CancelledError("interrupted while starting");
}

// A directory used before holds shards on a certain number of servers; with
// fewer, some shards would never come up.
absl::Status CheckServerCount(const std::string& dir, uint32_t servers) {
  uint32_t found = 0;
  while (std::filesystem::exists(absl::StrCat(dir, "/server-", found + 1))) {
    ++found;
  }
  if (found == 0 || found == servers) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(Printable(dir), " holds the data of ", found,
                   " servers; start with "
                   "--servers ",
                   found, " or with another --dir"));
}

absl::Status MakeDirectory(const std::string& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (!error) return absl::OkStatus();
  return ErrnoStatus(error.value(),
                     absl::StrCat("cannot make ", Printable(dir)));
}

}  // namespace

absl::Status LocalClusterOptions::Check() const {
  if ((shards & (shards - 1)) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--shards: ", shards, " is not a power of two; write e.g. 64"));
  }
  if (replicas > servers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--replicas: ", replicas, " need as many servers; give --servers ",
        replicas, " or more"));
  }
  return absl::OkStatus();
}

uint32_t LocalClusterOptions::Replicas() const {
  return replicas > 0 ? replicas : std::min(servers, 2u);
}

std::map<std::string, std::string> ReadReadyFile(const std::string& path) {
  std::map<std::string, std::string> values;
  auto text = ReadFileUpTo(path, kReadyFileBytesMax);
  if (!text.ok()) return values;
  for (absl::string_view line :
       absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    std::pair<std::string, std::string> entry =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    values.insert(std::move(entry));
  }
  return values;
}

absl::Status EndedError(const Process& process) {
  return absl::FailedPreconditionError(
      absl::StrCat(process.name(), " ended by itself (", process.Outcome(),
                   "); the end of its log:\n", LogTail(process.log_file())));
}

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(
    const LocalClusterOptions& options, Workplace& workplace,
    Interrupt& interrupt) {
  std::string dir = options.dir;
  if (dir.empty()) {
    dir = workplace.directory();
  } else {
    dir = std::filesystem::absolute(dir).lexically_normal().string();
    PARAMO_RETURN_IF_ERROR(CheckServerCount(dir, options.servers));
  }
  PARAMO_RETURN_IF_ERROR(MakeDirectory(absl::StrCat(dir, "/log")));
  std::unique_ptr<LocalCluster> cluster(
      new LocalCluster(dir, workplace, interrupt));
  PARAMO_RETURN_IF_ERROR(cluster->StartMember(
      "coordinator", "paramo-coordinator",
      {"--servers", absl::StrCat(options.servers), "--replicas",
       absl::StrCat(options.Replicas()), "--shards",
       absl::StrCat(options.shards), "--log-level", options.log_level}));
  PARAMO_RETURN_IF_ERROR(cluster->WaitUntilReady());
  std::vector<std::string> server_args = {"--coordinator", cluster->address(),
                                          "--log-level", options.log_level};
  server_args.insert(server_args.end(), options.server_args.begin(),
                     options.server_args.end());
  // One after the other: ids go by the order of registration, and server 2 is
  // to be the process server-2.
  for (uint32_t i = 1; i <= options.servers; ++i) {
    PARAMO_RETURN_IF_ERROR(cluster->StartMember(absl::StrCat("server-", i),
                                                "paramo-server", server_args));
    PARAMO_RETURN_IF_ERROR(cluster->WaitUntilReady());
  }
  PARAMO_RETURN_IF_ERROR(cluster->WaitUntilPlaced(options.servers));
  return cluster;
}

LocalCluster::LocalCluster(std::string dir, Workplace& workplace,
                           Interrupt& interrupt)
    : dir_(std::move(dir)), workplace_(workplace), interrupt_(interrupt) {}

LocalCluster::~LocalCluster() {
  std::vector<Process*> servers;
  for (size_t i = 1; i < members_.size(); ++i) {
    servers.push_back(members_[i].process.get());
  }
  // The coordinator last, so that it hears the servers' goodbyes.
  StopAll(servers, kStopGrace);
  if (!members_.empty()) members_.front().process->Stop(kStopGrace);
  for (Member& member : members_) workplace_.Forget(*member.process);
}

absl::Status LocalCluster::StartMember(const std::string& name,
                                       const std::string& binary,
                                       std::vector<std::string> args) {
  Member member;
  member.ready_file = absl::StrCat(workplace_.directory(), "/", name, ".ready");
  for (const std::string& arg :
       {std::string("--listen"), std::string("127.0.0.1:0"),
        std::string("--metrics-listen"), std::string("127.0.0.1:0"),
        std::string("--data-dir"), absl::StrCat(dir_, "/", name),
        std::string("--ready-file"), member.ready_file}) {
    args.push_back(arg);
  }
  PARAMO_ASSIGN_OR_RETURN(
      member.process,
      workplace_.Start(name, binary, std::move(args),
                       absl::StrCat(dir_, "/log/", name, ".log")));
  members_.push_back(std::move(member));
  return absl::OkStatus();
}

absl::Status LocalCluster::CheckAlive() {
  for (Member& member : members_) {
    if (!killed_address_.empty() && member.address == killed_address_) continue;
    if (!member.process->Running()) return EndedError(*member.process);
  }
  return absl::OkStatus();
}

std::string LocalCluster::NameOf(const std::string& address) const {
  for (const Member& member : members_) {
    if (member.address == address) return member.process->name();
  }
  return address;
}

// Shards are spread evenly: the first one will do.
std::string LocalCluster::KillServer() {
  Member& victim = members_[1];
  killed_address_ = victim.address;
  victim.process->Signal(SIGKILL);
  return absl::StrCat(victim.process->name(), " (pid ", victim.process->pid(),
                      ")");
}

absl::Status LocalCluster::WaitUntilReady() {
  const absl::Time deadline = absl::Now() + kReadyWithin;
  for (Member& member : members_) {
    while (member.address.empty()) {
      PARAMO_RETURN_IF_ERROR(CheckAlive());
      auto ready = ReadReadyFile(member.ready_file);
      member.address = ready["address"];
      member.metrics = ready["metrics"];
      if (!member.address.empty()) break;
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(absl::StrCat(
            member.process->name(), " is not ready after ",
            absl::FormatDuration(kReadyWithin), "; the end of its log:\n",
            LogTail(member.process->log_file())));
      }
      if (interrupt_.Wait(kPollEvery)) return Interrupted();
    }
  }
  return absl::OkStatus();
}

// Ready servers are registered; the coordinator places shards on all of them.
absl::Status LocalCluster::WaitUntilPlaced(uint32_t servers) {
  const absl::Time deadline = absl::Now() + kReadyWithin;
  client::Control control({address()});
  while (true) {
    PARAMO_RETURN_IF_ERROR(CheckAlive());
    auto state = control.State(kAskWithin);
    uint32_t up = 0;
    bool placed = state.ok() && (*state)->shards_size() > 0;
    if (state.ok()) {
      for (const v1::Server& server : (*state)->servers()) {
        up += server.status() == v1::SERVER_STATUS_UP ? 1 : 0;
      }
      for (const v1::Shard& shard : (*state)->shards()) {
        placed &= shard.primary() != 0;
      }
    }
    if (up >= servers && placed) return absl::OkStatus();
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "only ", up, " of ", servers, " servers are up after ",
          absl::FormatDuration(kReadyWithin),
          state.ok() ? "" : absl::StrCat(": ", state.status().message()),
          "; the end of the coordinator's log:\n",
          LogTail(members_.front().process->log_file())));
    }
    if (interrupt_.Wait(kPollEvery)) return Interrupted();
  }
}

Records LocalCluster::Processes() const {
  Records records({"process", "pid", "address", "metrics", "log"});
  for (const Member& member : members_) {
    records.Add({member.process->name(), member.process->pid(), member.address,
                 member.metrics, member.process->log_file()});
  }
  return records;
}

std::vector<pid_t> LocalCluster::Pids() const {
  std::vector<pid_t> pids;
  for (const Member& member : members_) pids.push_back(member.process->pid());
  return pids;
}

}  // namespace paramo::cli
