// A process whose only work is to clean up after ours, however ours ends:
// SIGKILL included. It reads its standard input, a pipe that only we hold:
//
//   "+PID\n"  PID is a child of ours
//   "-PID\n"  PID has ended and was reaped
//   (end)     we are gone: wait for the children, kill those that do not stop,
//             remove the temporary directory, exit
//
// In an orderly end the same path runs with no children left, so that it is
// exercised every time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/process.h"

namespace paramo::cli {

// The janitor's main, in its own process. Returns its exit status.
int RunJanitor(const std::string& directory, absl::Duration grace);

// A temporary directory and the means that nothing outlives this process.
// Threads: one.
class Workplace {
 public:
  // Makes the directory under $TMPDIR or /tmp, and starts the janitor.
  static absl::StatusOr<std::unique_ptr<Workplace>> Make();
  // Removes the directory; waits for that. Stop the children first.
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  const std::string& directory() const { return directory_; }

  // Starts a binary beside ours as a child that ends when we do. It is given
  // --parent-fd.
  absl::StatusOr<std::unique_ptr<Process>> Start(const std::string& name,
                                                 const std::string& binary,
                                                 std::vector<std::string> args,
                                                 const std::string& log_file);
  // A child that was started otherwise is ended as ours are.
  void Adopt(const Process& process) { Tell('+', process.pid()); }
  // To be told once a child has ended.
  void Forget(const Process& process) { Tell('-', process.pid()); }

 private:
  Workplace(std::string directory, Pipe lifeline, OwnedFd janitor_input);
  void Tell(char what, pid_t pid);

  const std::string directory_;
  Pipe lifeline_;  // children hold copies of its read end
  OwnedFd janitor_input_;
  std::unique_ptr<Process> janitor_;
};

}  // namespace paramo::cli
