#include "tests/bench/machine.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"

namespace paramo::bench {
namespace {

// The window that tells whether the machine is quiet: /proc/stat counts in
// hundredths of a second.
constexpr absl::Duration kWindow = absl::Milliseconds(200);

// Of all processes, hypervisor included. Without interrupts: those that our own
// traffic over loopback causes are nobody's.
double BusySeconds() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0,
         softirq = 0, steal = 0;
  file >> cpu >> user >> nice >> system >> idle >> iowait >> irq >> softirq >>
      steal;
  return (user + nice + system + steal) /
         static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

double CpuSeconds(const std::vector<pid_t>& pids) {
  double seconds = 0;
  for (pid_t pid : pids) {
    clockid_t clock;
    timespec time;
    if (::clock_getcpuclockid(pid, &clock) != 0) continue;
    if (::clock_gettime(clock, &time) != 0) continue;
    seconds += static_cast<double>(time.tv_sec) +
               static_cast<double>(time.tv_nsec) * 1e-9;
  }
  return seconds;
}

Usage::Usage(std::vector<pid_t> ours)
    : ours_(std::move(ours)), before_(OthersSeconds()), start_(absl::Now()) {}

double Usage::OthersSeconds() const {
  return BusySeconds() - CpuSeconds(ours_);
}

double Usage::Share() const {
  const double elapsed = absl::ToDoubleSeconds(absl::Now() - start_);
  const double cores = std::max(1u, std::thread::hardware_concurrency());
  return elapsed <= 0 ? 0 : (OthersSeconds() - before_) / elapsed / cores;
}

absl::Duration WaitForQuiet(absl::Duration at_most) {
  const absl::Time start = absl::Now();
  while (absl::Now() - start < at_most) {
    const Usage usage({});
    absl::SleepFor(std::min(kWindow, at_most));
    if (usage.Share() < kQuietShare) break;
  }
  return absl::Now() - start;
}

}  // namespace paramo::bench
