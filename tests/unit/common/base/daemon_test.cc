#include "common/base/daemon.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

namespace paramo {
namespace {

TEST(StopSignalTest, ARequestFromAnotherThreadEndsTheWait) {
  StopSignal stop;
  std::thread asker([&stop] {
    stop.Request(absl::DataLossError("first"));
    stop.Request(absl::OkStatus());
  });
  EXPECT_EQ(stop.Wait(), absl::DataLossError("first"));
  asker.join();
}

TEST(StopSignalTest, SigtermEndsTheWait) {
  StopSignal stop;
  kill(getpid(), SIGTERM);
  EXPECT_TRUE(stop.Wait().ok());
  // Take the pending signal away before the mask goes.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  int signal = 0;
  sigwait(&set, &signal);
  EXPECT_EQ(signal, SIGTERM);
}

TEST(ReadyFileTest, HoldsOneLinePerPair) {
  char dir[] = "/tmp/paramo-ready-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string path = std::string(dir) + "/ready";
  ASSERT_TRUE(
      WriteReadyFile(path, {{"address", "a:1"}, {"metrics", "b:2"}}).ok());
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "address=a:1\nmetrics=b:2\n");
  unlink(path.c_str());
  rmdir(dir);
}

TEST(ReadyFileTest, SaysWhatCannotBeWritten) {
  absl::Status status = WriteReadyFile("/nonexistent/dir/ready", {});
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/nonexistent/dir/ready"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace paramo
