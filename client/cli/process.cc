#include "client/cli/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// How often a child is looked at while waiting for it.
constexpr absl::Duration kPollEvery = absl::Milliseconds(5);

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWithoutParamo() {
  std::vector<std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!absl::StartsWith(*entry, "PARAMO_")) kept.emplace_back(*entry);
  }
  return kept;
}

// The files that the child starts with. Errors are collected: all of these
// calls can only fail for want of memory.
int AddFiles(posix_spawn_file_actions_t& actions,
             const ProcessOptions& options) {
  const char* log =
      options.log_file.empty() ? "/dev/null" : options.log_file.c_str();
  int error = 0;
  // dup2 onto its own number clears close-on-exec (POSIX 2017, issue 411).
  if (options.inherited_fd >= 0) {
    error |= posix_spawn_file_actions_adddup2(&actions, options.inherited_fd,
                                              kInheritedFd);
  }
  if (options.stdin_fd >= 0) {
    error |= posix_spawn_file_actions_adddup2(&actions, options.stdin_fd, 0);
  } else {
    error |=
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  }
  error |= posix_spawn_file_actions_addopen(
      &actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  error |= posix_spawn_file_actions_adddup2(&actions, 1, 2);
  return error;
}

// A process group of its own, and signals as a fresh process expects them.
int AddAttributes(posix_spawnattr_t& attributes) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  int error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                                        POSIX_SPAWN_SETSIGMASK |
                                                        POSIX_SPAWN_SETSIGDEF);
  error |= posix_spawnattr_setpgroup(&attributes, 0);
  error |= posix_spawnattr_setsigmask(&attributes, &none);
  error |= posix_spawnattr_setsigdefault(&attributes, &all);
  return error;
}

}  // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = other.Release();
  }
  return *this;
}

int OwnedFd::Release() { return std::exchange(fd_, -1); }

void OwnedFd::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

absl::StatusOr<Pipe> Pipe::Make() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0)
    return ErrnoStatus(errno, "cannot make a pipe");
  return Pipe{OwnedFd(fds[0]), OwnedFd(fds[1])};
}

absl::StatusOr<std::string> SiblingBinary(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::InternalError("cannot read /proc/self/exe");
  const std::string path = self.parent_path() / name;
  if (::access(path.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat(path,
                     " is missing; build it (cmake --build build/release "
                     "--target ",
                     name, ") or install it beside paramo"));
  }
  return path;
}

absl::Status ReplaceSelf(const std::string& name,
                         std::vector<std::string> args) {
  PARAMO_ASSIGN_OR_RETURN(std::string path, SiblingBinary(name));
  args.insert(args.begin(), path);
  ::execv(path.c_str(), Pointers(args).data());
  return ErrnoStatus(errno, absl::StrCat("cannot run ", path));
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    const ProcessOptions& options) {
  PARAMO_CHECK(!options.argv.empty());
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  PARAMO_CHECK(posix_spawn_file_actions_init(&actions) == 0);
  PARAMO_CHECK(posix_spawnattr_init(&attributes) == 0);
  auto cleanup = absl::MakeCleanup([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  PARAMO_CHECK(AddFiles(actions, options) == 0);
  PARAMO_CHECK(AddAttributes(attributes) == 0);
  std::vector<std::string> argv = options.argv;
  std::vector<std::string> environment = EnvironmentWithoutParamo();
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, argv[0].c_str(), &actions, &attributes,
                    Pointers(argv).data(), Pointers(environment).data());
  if (error != 0) {
    return ErrnoStatus(
        error, absl::StrCat("cannot start ", options.name, " (", argv[0],
                            ", log ", options.log_file, ")"));
  }
  return std::unique_ptr<Process>(
      new Process(options.name, options.log_file, pid));
}

Process::Process(std::string name, std::string log_file, pid_t pid)
    : name_(std::move(name)), log_file_(std::move(log_file)), pid_(pid) {}

Process::~Process() { Stop(absl::ZeroDuration()); }

bool Process::Running() {
  if (ended_) return false;
  const pid_t got = ::waitpid(pid_, &wait_status_, WNOHANG);
  // ECHILD cannot be: nobody else waits for our children.
  PARAMO_CHECK(got >= 0 || errno == EINTR);
  ended_ = got == pid_;
  return !ended_;
}

bool Process::WaitFor(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (Running()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(kPollEvery);
  }
  return true;
}

bool Process::succeeded() const {
  return ended_ && WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0;
}

std::string Process::Outcome() const {
  if (!ended_) return "still running";
  if (WIFEXITED(wait_status_)) {
    return absl::StrCat("exit status ", WEXITSTATUS(wait_status_));
  }
  const int signal = WTERMSIG(wait_status_);
  return absl::StrCat("killed by signal ", signal, " (", ::strsignal(signal),
                      ")");
}

void Process::Signal(int signal) {
  if (Running()) ::kill(pid_, signal);
}

void Process::Stop(absl::Duration grace) {
  if (!Running()) return;
  if (grace > absl::ZeroDuration()) {
    Signal(SIGTERM);
    if (WaitFor(grace)) return;
    LogWarning("%s did not stop within %s: killing it", name_,
               absl::FormatDuration(grace));
  }
  Signal(SIGKILL);
  WaitFor(absl::InfiniteDuration());
}

void StopAll(const std::vector<Process*>& processes, absl::Duration grace) {
  const absl::Time deadline = absl::Now() + grace;
  for (Process* process : processes) process->Signal(SIGTERM);
  for (Process* process : processes) {
    process->WaitFor(deadline - absl::Now());
    process->Stop(absl::ZeroDuration());
  }
}

std::string LogTail(const std::string& file, int lines) {
  constexpr std::streamoff kBytesMax = 16384;
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) return absl::StrCat("    (no log at ", file, ")\n");
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(0, size - kBytesMax));
  std::string text(static_cast<size_t>(std::min(size, kBytesMax)), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  std::vector<std::string> all = absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (all.empty()) return absl::StrCat("    (", file, " is empty)\n");
  const size_t first =
      all.size() > static_cast<size_t>(lines) ? all.size() - lines : 0;
  std::string tail;
  for (size_t i = first; i < all.size(); ++i) {
    absl::StrAppend(&tail, "    ", Printable(all[i], 512), "\n");
  }
  return tail;
}

}  // namespace paramo::cli
