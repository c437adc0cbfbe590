#include "tests/integration/client/local_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/check.h"

namespace paramo {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(30);

std::string Binary(const std::string& name) {
  return std::string(PARAMO_BINARY_DIR) + "/" + name;
}

// The `address=` line of a ready file, once the process has written it.
std::string WaitForAddress(const std::string& ready_file,
                           const std::string& log_file) {
  const absl::Time deadline = absl::Now() + kReadyTimeout;
  while (absl::Now() < deadline) {
    std::istringstream lines(ReadFile(ready_file));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("address=", 0) == 0) return line.substr(8);
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  std::fprintf(stderr, "%s did not come; log:\n%s\n", ready_file.c_str(),
               ReadFile(log_file).c_str());
  std::abort();
}

}  // namespace

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// ---- Process ----------------------------------------------------------------

Process::Process(const std::vector<std::string>& arguments,
                 const std::map<std::string, std::string>& environment,
                 const std::string& log_file) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  pid_ = fork();
  PARAMO_CHECK(pid_ >= 0);
  if (pid_ > 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int log = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(log, 1);
  dup2(log, 2);
  for (const auto& entry : environment) {
    setenv(entry.first.c_str(), entry.second.c_str(), 1);
  }
  execv(argv[0], argv.data());
  _exit(127);
}

Process::~Process() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  Wait();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

void Process::Signal(int signal) {
  PARAMO_CHECK(pid_ > 0);
  kill(pid_, signal);
}

void Process::Pause() {
  Signal(SIGSTOP);
  int status = 0;
  PARAMO_CHECK(waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status));
}

int Process::Wait() {
  int status = 0;
  PARAMO_CHECK(waitpid(std::exchange(pid_, -1), &status, 0) > 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- LocalCluster -----------------------------------------------------------

LocalCluster::LocalCluster(int servers) : servers_(servers) {
  char name[] = "/tmp/paramo-test-XXXXXX";
  PARAMO_CHECK(mkdtemp(name) != nullptr);
  dir_ = name;
  coordinator_ = Process(
      {Binary("paramo-coordinator"), "--listen", "127.0.0.1:0", "--data-dir",
       dir_ + "/coordinator", "--servers", std::to_string(servers),
       "--replicas", "1", "--ready-file", dir_ + "/coordinator.ready"},
      {}, dir_ + "/coordinator.log");
  address_ =
      WaitForAddress(dir_ + "/coordinator.ready", dir_ + "/coordinator.log");
  for (int i = 0; i < servers; ++i) StartServer(i);
  for (int i = 0; i < servers; ++i) WaitForServer(i);
}

LocalCluster::~LocalCluster() {
  servers_.clear();
  coordinator_ = Process();
  std::filesystem::remove_all(dir_);
}

void LocalCluster::StartServer(int index) {
  const std::string base = dir_ + "/server-" + std::to_string(index);
  std::filesystem::remove(base + ".ready");
  servers_[index] =
      Process({Binary("paramo-server"), "--coordinator", address_, "--data-dir",
               base, "--listen", "127.0.0.1:0", "--metrics-listen",
               "127.0.0.1:0", "--ready-file", base + ".ready"},
              {}, base + ".log");
}

void LocalCluster::WaitForServer(int index) {
  const std::string base = dir_ + "/server-" + std::to_string(index);
  WaitForAddress(base + ".ready", base + ".log");
}

}  // namespace paramo
