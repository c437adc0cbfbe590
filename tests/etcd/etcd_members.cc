#include "tests/etcd/etcd_members.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/transport/settings.h"
#include "etcd/etcd.grpc.pb.h"

namespace paramo::test {
namespace {

constexpr absl::Duration kLeaderWithin = absl::Seconds(60);
constexpr absl::Duration kAskWithin = absl::Seconds(2);
constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
// Somebody else may take a port between our letting go of it and etcd's taking
// it.
constexpr int kTries = 5;

// A loopback socket on a port that the kernel chose. Ports are different as
// long as their sockets are open.
absl::StatusOr<cli::OwnedFd> Bind(std::string& address) {
  cli::OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof bound;
  auto* const where = reinterpret_cast<sockaddr*>(&bound);
  if (::bind(fd.get(), where, size) != 0 ||
      ::getsockname(fd.get(), where, &size) != 0) {
    return ErrnoStatus(errno, "cannot bind a loopback port");
  }
  address = absl::StrCat("127.0.0.1:", ntohs(bound.sin_port));
  return fd;
}

std::optional<etcdserverpb::StatusResponse> StatusOf(
    const std::string& endpoint) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kAskWithin));
  etcdserverpb::StatusResponse status;
  auto stub = etcdserverpb::Maintenance::NewStub(MakeControlChannel(endpoint));
  if (!stub->Status(&context, {}, &status).ok()) return std::nullopt;
  return status;
}

}  // namespace

EtcdMembers::EtcdMembers(int members, std::string directory, EtcdTls tls)
    : directory_(std::move(directory)),
      tls_(std::move(tls)),
      members_(members) {}

absl::StatusOr<std::unique_ptr<EtcdMembers>> EtcdMembers::Start(
    int members, std::string directory, EtcdTls tls) {
  std::unique_ptr<EtcdMembers> etcd(
      new EtcdMembers(members, std::move(directory), std::move(tls)));
  absl::Status started;
  for (int tries = 0; tries < kTries; ++tries) {
    started = etcd->TryStart();
    if (started.ok()) return etcd;
  }
  return absl::UnavailableError(absl::StrCat(
      "etcd does not start; is etcd-server installed?\n", started.message()));
}

absl::Status EtcdMembers::TryStart() {
  PARAMO_RETURN_IF_ERROR(TakePorts());
  for (int i = 0; i < size(); ++i) {
    std::filesystem::remove_all(
        absl::StrCat(directory_, "/", members_[i].name));
    PARAMO_RETURN_IF_ERROR(Restart(i));
  }
  absl::Status status = AwaitLeader();
  if (!status.ok()) {
    for (Member& member : members_) member.process.reset();
  }
  return status;
}

absl::Status EtcdMembers::TakePorts() {
  std::vector<cli::OwnedFd> held;
  for (int i = 0; i < size(); ++i) {
    Member& member = members_[i];
    member.name = absl::StrCat("etcd-", i + 1);
    for (std::string* address :
         {&member.client, &member.peer, &member.secure}) {
      PARAMO_ASSIGN_OR_RETURN(held.emplace_back(), Bind(*address));
    }
  }
  return absl::OkStatus();
}

absl::Status EtcdMembers::AwaitLeader() {
  const absl::Time deadline = absl::Now() + kLeaderWithin;
  while (leader() < 0) {
    for (Member& member : members_) {
      if (member.process->Running() && absl::Now() < deadline) continue;
      return absl::UnavailableError(
          absl::StrCat(member.name, ": ", member.process->Outcome(), "\n",
                       cli::LogTail(member.process->log_file())));
    }
    absl::SleepFor(kPollEvery);
  }
  return absl::OkStatus();
}

// setpriv makes the kernel kill etcd when we die, however that happens.
absl::Status EtcdMembers::Restart(int member) {
  Member& one = members_[member];
  const auto http = [](const std::string& address) {
    return absl::StrCat("http://", address);
  };
  std::vector<std::string> all;
  for (const Member& other : members_) {
    all.push_back(absl::StrCat(other.name, "=", http(other.peer)));
  }
  const std::string base = absl::StrCat(directory_, "/", one.name);
  cli::ProcessOptions options;
  options.name = one.name;
  options.log_file = base + ".log";
  options.argv = {"/usr/bin/setpriv",
                  "--pdeathsig",
                  "KILL",
                  "/usr/bin/env",
                  "etcd",
                  "--name",
                  one.name,
                  "--data-dir",
                  base,
                  "--listen-client-urls",
                  http(one.client),
                  "--advertise-client-urls",
                  http(one.client),
                  "--listen-peer-urls",
                  http(one.peer),
                  "--initial-advertise-peer-urls",
                  http(one.peer),
                  "--initial-cluster",
                  absl::StrJoin(all, ","),
                  "--initial-cluster-token",
                  directory_,
                  "--logger",
                  "zap",
                  "--log-level",
                  "error"};
  if (!tls_.ca_file.empty()) {
    for (const std::string& arg :
         {absl::StrCat("--listen-client-urls=", http(one.client), ",https://",
                       one.secure),
          absl::StrCat("--trusted-ca-file=", tls_.ca_file),
          absl::StrCat("--cert-file=", tls_.cert_file),
          absl::StrCat("--key-file=", tls_.key_file),
          std::string("--client-cert-auth")}) {
      options.argv.push_back(arg);
    }
  }
  PARAMO_ASSIGN_OR_RETURN(one.process, cli::Process::Start(options));
  return absl::OkStatus();
}

std::vector<std::string> EtcdMembers::endpoints() const {
  std::vector<std::string> all;
  for (const Member& member : members_) all.push_back(member.client);
  return all;
}

std::string EtcdMembers::url() const {
  return absl::StrCat("etcd://", absl::StrJoin(endpoints(), ","));
}

int EtcdMembers::leader() const {
  for (int i = 0; i < size(); ++i) {
    const auto status = StatusOf(endpoint(i));
    if (status && status->leader() != 0 &&
        status->leader() == status->header().member_id()) {
      return i;
    }
  }
  return -1;
}

bool EtcdMembers::IsWhole() const {
  for (int i = 0; i < size(); ++i) {
    const auto status = StatusOf(endpoint(i));
    if (!status || status->leader() == 0) return false;
  }
  return true;
}

}  // namespace paramo::test
