#include "client/cli/janitor.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

// Servers flush on SIGTERM; after this they are killed.
constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr absl::Duration kPollEvery = absl::Milliseconds(20);

// Children of another process, each by a pidfd: a number alone could be
// somebody else's by the time we use it.
class Children {
 public:
  void Apply(absl::string_view line) {
    pid_t pid = 0;
    if (line.size() < 2 || !absl::SimpleAtoi(line.substr(1), &pid) ||
        pid <= 1) {
      return;
    }
    if (line[0] == '+') {
      const long fd = ::syscall(SYS_pidfd_open, pid, 0);
      if (fd >= 0) pidfds_[pid] = OwnedFd(static_cast<int>(fd));
    } else {
      pidfds_.erase(pid);
    }
  }

  bool AllGoneWithin(absl::Duration timeout) {
    const absl::Time deadline = absl::Now() + timeout;
    while (true) {
      for (auto child = pidfds_.begin(); child != pidfds_.end();) {
        pollfd fd = {child->second.get(), POLLIN, 0};
        child = ::poll(&fd, 1, 0) > 0 ? pidfds_.erase(child) : std::next(child);
      }
      if (pidfds_.empty()) return true;
      if (absl::Now() >= deadline) return false;
      absl::SleepFor(kPollEvery);
    }
  }

  void Kill() {
    for (const auto& child : pidfds_) {
      ::syscall(SYS_pidfd_send_signal, child.second.get(), SIGKILL, nullptr, 0);
    }
  }

 private:
  std::map<pid_t, OwnedFd> pidfds_;
};

absl::StatusOr<std::string> MakeTemporaryDirectory() {
  const char* base = std::getenv("TMPDIR");
  std::string path = absl::StrCat(
      base == nullptr || *base == '\0' ? "/tmp" : base, "/paramo-XXXXXX");
  if (::mkdtemp(path.data()) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("cannot make ", path,
                                           "; set TMPDIR to a folder with "
                                           "room"));
  }
  return path;
}

}  // namespace

int RunJanitor(const std::string& directory, absl::Duration grace) {
  Children children;
  std::string pending;
  char bytes[512];
  while (true) {
    const ssize_t count = ::read(0, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    pending.append(bytes, static_cast<size_t>(count));
    for (size_t end; (end = pending.find('\n')) != std::string::npos;) {
      children.Apply(pending.substr(0, end));
      pending.erase(0, end + 1);
    }
  }
  if (!children.AllGoneWithin(grace)) {
    children.Kill();
    children.AllGoneWithin(grace);
  }
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  return error ? 1 : 0;
}

absl::StatusOr<std::unique_ptr<Workplace>> Workplace::Make() {
  PARAMO_ASSIGN_OR_RETURN(Pipe lifeline, Pipe::Make());
  PARAMO_ASSIGN_OR_RETURN(Pipe input, Pipe::Make());
  PARAMO_ASSIGN_OR_RETURN(std::string self, SiblingBinary("paramo"));
  PARAMO_ASSIGN_OR_RETURN(std::string directory, MakeTemporaryDirectory());
  std::unique_ptr<Workplace> workplace(new Workplace(
      std::move(directory), std::move(lifeline), std::move(input.write)));
  ProcessOptions options;
  options.name = "janitor";
  options.argv = {self, "janitor", workplace->directory_};
  options.stdin_fd = input.read.get();
  PARAMO_ASSIGN_OR_RETURN(workplace->janitor_, Process::Start(options));
  return workplace;
}

Workplace::Workplace(std::string directory, Pipe lifeline,
                     OwnedFd janitor_input)
    : directory_(std::move(directory)),
      lifeline_(std::move(lifeline)),
      janitor_input_(std::move(janitor_input)) {}

Workplace::~Workplace() {
  lifeline_.write.Close();
  janitor_input_.Close();
  if (janitor_ != nullptr) janitor_->WaitFor(2 * kGrace);
  // Nothing to do unless the janitor was killed or never started.
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
}

absl::StatusOr<std::unique_ptr<Process>> Workplace::Start(
    const std::string& name, const std::string& binary,
    std::vector<std::string> args, const std::string& log_file) {
  ProcessOptions options;
  options.name = name;
  options.log_file = log_file;
  options.inherited_fd = lifeline_.read.get();
  PARAMO_ASSIGN_OR_RETURN(std::string path, SiblingBinary(binary));
  options.argv = {path, "--parent-fd", absl::StrCat(kInheritedFd)};
  options.argv.insert(options.argv.end(), args.begin(), args.end());
  PARAMO_ASSIGN_OR_RETURN(auto process, Process::Start(options));
  Adopt(*process);
  return process;
}

void Workplace::Tell(char what, pid_t pid) {
  const std::string line = absl::StrCat(absl::string_view(&what, 1), pid, "\n");
  // Fails only when somebody killed the janitor; SIGPIPE is ignored by main.
  [[maybe_unused]] ssize_t written =
      ::write(janitor_input_.get(), line.data(), line.size());
}

}  // namespace paramo::cli
