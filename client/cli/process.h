// Child processes of the command line tool: the other binaries of Paramo.
//
// Who cleans up when this process is killed: every child gets the read end of
// a pipe that only we can close (`Lifeline`), and stops when it reads the end.
// Temporary files, and children that do not stop, are the janitor's
// (janitor.h).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace paramo::cli {

// A file descriptor that is closed with its owner.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  ~OwnedFd() { Close(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  int get() const { return fd_; }
  int Release();
  void Close();

 private:
  int fd_;
};

// The two ends of a pipe that no child inherits by accident.
struct Pipe {
  OwnedFd read;
  OwnedFd write;
  static absl::StatusOr<Pipe> Make();
};

// The path of a binary installed beside this one.
// Errors: NOT_FOUND  with what to build
absl::StatusOr<std::string> SiblingBinary(const std::string& name);

// Runs it in place of this process; returns only when it cannot.
absl::Status ReplaceSelf(const std::string& name,
                         std::vector<std::string> args);

struct ProcessOptions {
  std::string name;               // for people: "server-1"
  std::vector<std::string> argv;  // argv[0] is the path to run
  std::string log_file;           // gets stdout and stderr; empty: /dev/null
  int inherited_fd = -1;          // given to the child as kInheritedFd
  int stdin_fd = -1;              // -1: /dev/null
};

// The number that a child sees its inherited descriptor under.
inline constexpr int kInheritedFd = 3;

// A child. It runs in a process group of its own, so that a Ctrl-C on the
// terminal reaches only us and the children are stopped in order. Its
// environment has no PARAMO_ variables: what it runs with stands in its
// arguments. The destructor kills it. Threads: one.
class Process {
 public:
  static absl::StatusOr<std::unique_ptr<Process>> Start(
      const ProcessOptions& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  const std::string& name() const { return name_; }
  const std::string& log_file() const { return log_file_; }
  pid_t pid() const { return pid_; }

  // False once it has ended (and reaps it).
  bool Running();
  // True once it has ended.
  bool WaitFor(absl::Duration timeout);
  // Only after it has ended: by itself with exit status 0.
  bool succeeded() const;
  // "exit status 1", "killed by signal 9 (Killed)", "still running".
  std::string Outcome() const;

  void Signal(int signal);
  // SIGTERM, then SIGKILL after `grace`. Returns when it has ended.
  void Stop(absl::Duration grace);

 private:
  Process(std::string name, std::string log_file, pid_t pid);

  const std::string name_;
  const std::string log_file_;
  const pid_t pid_;
  bool ended_ = false;
  int wait_status_ = 0;
};

// Asks all to stop, then waits for all: as long as the slowest one takes.
void StopAll(const std::vector<Process*>& processes, absl::Duration grace);

// The last lines of a file, indented for showing; what there is to say when it
// is empty or unreadable.
std::string LogTail(const std::string& file, int lines = 15);

}  // namespace paramo::cli
