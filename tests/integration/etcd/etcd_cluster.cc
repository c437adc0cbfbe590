#include "tests/integration/etcd/etcd_cluster.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/transport/settings.h"
#include "etcd/etcd.grpc.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

constexpr absl::Duration kUpWithin = absl::Seconds(60);

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

// A loopback socket on a port that the kernel chose. Ports are different as
// long as their sockets are open.
cli::OwnedFd Bind(std::string& address) {
  cli::OwnedFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in bound{};
  bound.sin_family = AF_INET;
  bound.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof bound;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&bound), size) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) !=
          0) {
    Die("cannot bind a loopback port");
  }
  address = absl::StrCat("127.0.0.1:", ntohs(bound.sin_port));
  return fd;
}

std::unique_ptr<etcdserverpb::Maintenance::Stub> Maintenance(
    const std::string& endpoint) {
  return etcdserverpb::Maintenance::NewStub(MakeControlChannel(endpoint));
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(2)));
}

// Lives as long as the tests run.
class SharedCluster final : public testing::Environment {
 public:
  EtcdCluster& Get() {
    if (cluster_ == nullptr) cluster_ = std::make_unique<EtcdCluster>();
    return *cluster_;
  }
  void TearDown() override { cluster_.reset(); }

 private:
  std::unique_ptr<EtcdCluster> cluster_;
};

SharedCluster* const shared = static_cast<SharedCluster*>(
    testing::AddGlobalTestEnvironment(new SharedCluster));

}  // namespace

EtcdCluster& SharedEtcd() { return shared->Get(); }

std::string UniqueName() {
  static std::atomic<int> count{0};
  return absl::StrCat("t", ::getpid(), "-", ++count);
}

EtcdCluster::EtcdCluster(int members) : members_(members) {
  auto pipe = cli::Pipe::Make();
  if (!pipe.ok()) Die("no pipe");
  janitor_input_ = *std::move(pipe);
  char name[] = "/tmp/paramo-etcd-XXXXXX";
  if (mkdtemp(name) == nullptr) Die("cannot make a directory in /tmp");
  dir_ = name;
  cli::ProcessOptions options;
  options.name = "janitor";
  options.argv = {absl::StrCat(PARAMO_BINARY_DIR, "/paramo"), "janitor", dir_};
  options.stdin_fd = janitor_input_.read.get();
  auto janitor = cli::Process::Start(options);
  if (!janitor.ok()) Die(std::string(janitor.status().message()));
  janitor_ = *std::move(janitor);
  // Somebody else may take a port between our letting go of it and etcd's
  // taking it.
  while (!StartAll()) {
    if (++tries_ == 5) {
      Die(absl::StrCat("etcd does not start; is etcd-server installed?\n",
                       ReadWholeFile(absl::StrCat(dir_, "/m0.log"))));
    }
  }
}

EtcdCluster::~EtcdCluster() {
  for (Member& member : members_) member.process.reset();
  janitor_input_.write.Close();
  janitor_->WaitFor(absl::Seconds(20));
}

void EtcdCluster::TakePorts() {
  std::vector<cli::OwnedFd> held;
  for (int i = 0; i < members(); ++i) {
    members_[i].name = absl::StrCat("m", i);
    held.push_back(Bind(members_[i].client));
    held.push_back(Bind(members_[i].peer));
  }
}

bool EtcdCluster::StartAll() {
  TakePorts();
  for (int i = 0; i < members(); ++i) {
    std::filesystem::remove_all(absl::StrCat(dir_, "/m", i));
    Start(i);
  }
  bool ended = false;
  const bool up = WaitUntil(
      [&] {
        for (Member& member : members_) ended |= !member.process->Running();
        return ended || leader() >= 0;
      },
      kUpWithin);
  if (up && !ended) return true;
  for (Member& member : members_) member.process.reset();
  return false;
}

// setpriv makes the kernel kill etcd when we die, however that happens.
void EtcdCluster::Start(int member) {
  Member& one = members_[member];
  std::vector<std::string> all;
  for (const Member& other : members_) {
    all.push_back(absl::StrCat(other.name, "=http://", other.peer));
  }
  cli::ProcessOptions options;
  options.name = one.name;
  options.log_file = absl::StrCat(dir_, "/", one.name, ".log");
  options.argv = {"/usr/bin/setpriv",
                  "--pdeathsig",
                  "KILL",
                  "/usr/bin/env",
                  "etcd",
                  "--name",
                  one.name,
                  "--data-dir",
                  absl::StrCat(dir_, "/", one.name),
                  "--listen-client-urls",
                  absl::StrCat("http://", one.client),
                  "--advertise-client-urls",
                  absl::StrCat("http://", one.client),
                  "--listen-peer-urls",
                  absl::StrCat("http://", one.peer),
                  "--initial-advertise-peer-urls",
                  absl::StrCat("http://", one.peer),
                  "--initial-cluster",
                  absl::StrJoin(all, ","),
                  "--initial-cluster-token",
                  dir_,
                  "--logger",
                  "zap",
                  "--log-level",
                  "error"};
  auto process = cli::Process::Start(options);
  if (!process.ok()) Die(std::string(process.status().message()));
  one.process = *std::move(process);
}

void EtcdCluster::Signal(int member, int signal) {
  members_[member].process->Signal(signal);
}

void EtcdCluster::Kill(int member) {
  Signal(member, SIGKILL);
  if (!members_[member].process->WaitFor(absl::Seconds(10))) Die("not killed");
}

void EtcdCluster::Restart() {
  for (int i = 0; i < members(); ++i) Kill(i);
  for (int i = 0; i < members(); ++i) Start(i);
  WaitForLeader();
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> all;
  for (const Member& member : members_) all.push_back(member.client);
  return all;
}

std::string EtcdCluster::url() const {
  return absl::StrCat("etcd://", absl::StrJoin(endpoints(), ","));
}

int EtcdCluster::leader() const {
  for (int i = 0; i < members(); ++i) {
    grpc::ClientContext context;
    SetDeadline(context);
    etcdserverpb::StatusResponse status;
    if (!Maintenance(endpoint(i))->Status(&context, {}, &status).ok()) continue;
    if (status.leader() != 0 && status.leader() == status.header().member_id())
      return i;
  }
  return -1;
}

void EtcdCluster::WaitForLeader() const {
  if (!WaitUntil([this] { return leader() >= 0; }, kUpWithin)) {
    Die("etcd finds no leader");
  }
}

void EtcdCluster::SetNoSpace(bool on) const {
  grpc::ClientContext context;
  SetDeadline(context);
  etcdserverpb::StatusResponse status;
  auto stub = Maintenance(endpoint(0));
  if (!stub->Status(&context, {}, &status).ok()) Die("no status");
  grpc::ClientContext change;
  SetDeadline(change);
  etcdserverpb::AlarmRequest request;
  request.set_action(on ? etcdserverpb::AlarmRequest::ACTIVATE
                        : etcdserverpb::AlarmRequest::DEACTIVATE);
  request.set_memberid(status.header().member_id());
  request.set_alarm(etcdserverpb::NOSPACE);
  etcdserverpb::AlarmResponse response;
  if (!stub->Alarm(&change, request, &response).ok()) Die("no alarm");
}

}  // namespace paramo::test
