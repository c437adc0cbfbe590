#include "tests/integration/etcd/etcd_cluster.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
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

EtcdCluster::EtcdCluster(int members, EtcdTls tls) {
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
  auto started = EtcdMembers::Start(members, dir_, std::move(tls));
  if (!started.ok()) Die(std::string(started.status().message()));
  members_ = *std::move(started);
}

EtcdCluster::~EtcdCluster() {
  members_.reset();
  janitor_input_.write.Close();
  janitor_->WaitFor(absl::Seconds(20));
}

void EtcdCluster::Start(int member) {
  const absl::Status started = members_->Restart(member);
  if (!started.ok()) Die(std::string(started.message()));
}

void EtcdCluster::Signal(int member, int signal) {
  members_->process(member).Signal(signal);
}

void EtcdCluster::Kill(int member) {
  Signal(member, SIGKILL);
  if (!members_->process(member).WaitFor(absl::Seconds(10))) Die("not killed");
}

void EtcdCluster::Restart() {
  for (int i = 0; i < members_->size(); ++i) Kill(i);
  for (int i = 0; i < members_->size(); ++i) Start(i);
  WaitForLeader();
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
