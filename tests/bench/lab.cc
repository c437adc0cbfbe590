#include "tests/bench/lab.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "tests/bench/machine.h"

namespace paramo::bench {
namespace {

constexpr absl::Duration kReadyWithin = absl::Seconds(30);
constexpr absl::Duration kPollEvery = absl::Milliseconds(10);
constexpr absl::Duration kStopGrace = absl::Seconds(5);
// By then a server has begun to write what was pushed.
constexpr absl::Duration kDirtyAtMost = absl::Seconds(2);
constexpr char kFlushInterval[] = "2s";  // the same, of every server
constexpr absl::Duration kSettleWithin = absl::Seconds(20);
constexpr absl::Duration kSettleWindow = absl::Milliseconds(200);
// Of one core, by all of our processes: heartbeats of idle servers are less.
constexpr double kIdleShare = 0.05;

}  // namespace

std::function<double()> CpuOfAll(std::vector<pid_t> pids) {
  return [pids = std::move(pids)] { return CpuSeconds(pids); };
}

absl::StatusOr<std::unique_ptr<BenchCluster>> BenchCluster::Start(
    cli::LocalClusterOptions options, Lane lane, cli::Interrupt& interrupt) {
  options.server_args.insert(options.server_args.end(),
                             {"--flush-interval", kFlushInterval});
  auto cluster = std::make_unique<BenchCluster>();
  cluster->lane_ = lane;
  PARAMO_ASSIGN_OR_RETURN(cluster->workplace_, cli::Workplace::Make());
  PARAMO_ASSIGN_OR_RETURN(
      cluster->servers_,
      cli::LocalCluster::Start(options, *cluster->workplace_, interrupt));
  PARAMO_ASSIGN_OR_RETURN(cluster->client_, cluster->Connect());
  cluster->pids_ = cluster->servers_->Pids();
  cluster->pids_.push_back(::getpid());
  return cluster;
}

absl::StatusOr<std::unique_ptr<Cluster>> BenchCluster::Connect() const {
  ConnectOptions connect;
  connect.addresses = servers_->address();
  connect.shm = lane_ == Lane::kShm;
  auto client = Cluster::Connect(connect);
  if (!client.ok()) return absl::UnavailableError(client.status().ToString());
  return std::move(*client);
}

absl::StatusOr<BenchCluster*> Lab::StartCluster(
    const cli::LocalClusterOptions& options, Lane lane) {
  PARAMO_ASSIGN_OR_RETURN(auto cluster,
                          BenchCluster::Start(options, lane, interrupt_));
  clusters_.push_back(std::move(cluster));
  return clusters_.back().get();
}

absl::StatusOr<BenchCluster*> Lab::StartCluster(uint32_t servers,
                                                uint32_t replicas, Lane lane) {
  cli::LocalClusterOptions options;
  options.servers = servers;
  options.replicas = replicas;
  return StartCluster(options, lane);
}

Lab::~Lab() {
  if (echo_ == nullptr) return;
  echo_->Stop(kStopGrace);
  workplace_->Forget(*echo_);
}

absl::StatusOr<std::string> Lab::Directory() {
  if (workplace_ == nullptr) {
    PARAMO_ASSIGN_OR_RETURN(workplace_, cli::Workplace::Make());
  }
  return workplace_->directory();
}

absl::Status Lab::StartEcho() {
  PARAMO_ASSIGN_OR_RETURN(const std::string directory, Directory());
  const std::string ready_file = absl::StrCat(directory, "/echo");
  PARAMO_ASSIGN_OR_RETURN(
      echo_, workplace_->Start("echo-server", "paramo-bench",
                               {"--ready-file", ready_file},
                               absl::StrCat(directory, "/echo.log")));
  const absl::Time deadline = absl::Now() + kReadyWithin;
  while (echo_addresses_.grpc.empty()) {
    if (!echo_->Running()) return cli::EndedError(*echo_);
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError("the echo server is not ready");
    }
    if (interrupt_.Wait(kPollEvery)) return absl::CancelledError("interrupted");
    auto ready = cli::ReadReadyFile(ready_file);
    echo_addresses_ = {ready["grpc"], ready["tcp"], ready["unix"]};
  }
  return absl::OkStatus();
}

absl::StatusOr<Subject> Lab::Echo(Via via, const EchoSizes& sizes,
                                  const Load& load, const Work& work) {
  if (echo_ == nullptr) PARAMO_RETURN_IF_ERROR(StartEcho());
  const auto cpu = CpuOfAll({::getpid(), echo_->pid()});
  auto run = [=, this](absl::Duration time) -> absl::StatusOr<Sample> {
    PARAMO_ASSIGN_OR_RETURN(auto echo,
                            ConnectEcho(via, echo_addresses_, sizes));
    Load timed = load;
    timed.time = time;
    return Drive(*echo, timed, work, cpu);
  };
  return Subject{.name = NameOf(via), .run = std::move(run)};
}

std::vector<pid_t> Lab::Children() const {
  std::vector<pid_t> pids;
  if (echo_ != nullptr) pids.push_back(echo_->pid());
  for (const auto& cluster : clusters_) {
    for (pid_t pid : cluster->pids()) {
      if (pid != ::getpid()) pids.push_back(pid);
    }
  }
  return pids;
}

absl::StatusOr<Sample> Lab::Run(const Subject& subject, absl::Duration time) {
  if (interrupt_.Wait(absl::ZeroDuration())) {
    return absl::CancelledError("interrupted");
  }
  wait_ -= WaitForQuiet(wait_);
  std::vector<pid_t> ours = Children();
  ours.push_back(::getpid());
  const Usage usage(std::move(ours));
  auto sample = subject.run(time);
  if (sample.ok()) sample->disturbed = usage.Share() >= kQuietShare;
  if (subject.leaves_work) Settle();
  return sample;
}

void Lab::Settle() {
  if (!settles_ || clusters_.empty()) return;
  absl::SleepFor(kDirtyAtMost);
  const std::vector<pid_t> children = Children();
  const absl::Time deadline = absl::Now() + kSettleWithin;
  double before = CpuSeconds(children);
  while (absl::Now() < deadline) {
    absl::SleepFor(kSettleWindow);
    const double now = CpuSeconds(children);
    if (now - before < kIdleShare * absl::ToDoubleSeconds(kSettleWindow)) break;
    before = now;
  }
}

}  // namespace paramo::bench
