// The process paramo-coordinator: how it starts, says so, stops, and what a
// kill -9 leaves.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "tests/integration/coordinator/coordinator_testing.h"

extern char** environ;

namespace paramo {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    char pattern[] = "/tmp/paramo_test.XXXXXX";
    dir_ = mkdtemp(pattern);
  }
  ~ProcessTest() override {
    if (pid_ > 0) Kill(SIGKILL);
    std::filesystem::remove_all(dir_);
  }

  // Starts it with stdout and stderr in files; `parent_fd` < 0: none.
  void Spawn(std::vector<std::string> args, int parent_fd = -1) {
    args.insert(args.begin(), PARAMO_BINARY_DIR "/paramo-coordinator");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 1, (dir_ + "/out").c_str(),
                                     kFlags, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (dir_ + "/err").c_str(),
                                     kFlags, 0600);
    if (parent_fd >= 0) {
      posix_spawn_file_actions_adddup2(&actions, parent_fd, 9);
    }
    ASSERT_EQ(
        posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ),
        0);
    posix_spawn_file_actions_destroy(&actions);
  }
  void SpawnServing(int parent_fd = -1) {
    std::vector<std::string> args = {"--listen",     "127.0.0.1:0",
                                     "--data-dir",   dir_ + "/data",
                                     "--ready-file", dir_ + "/ready"};
    if (parent_fd >= 0) {
      args.push_back("--parent-fd");
      args.push_back("9");
    }
    std::filesystem::remove(dir_ + "/ready");
    Spawn(args, parent_fd);
    for (int i = 0; i < 2000 && Read("ready").empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_THAT(Read("ready"), StartsWith("address=127.0.0.1:")) << Read("err");
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(dir_ + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::string Address() const {
    const size_t start = std::string("address=").size();
    std::string text = Read("ready");
    return text.substr(start, text.find('\n') - start);
  }
  // Its exit status, or 128 + the signal that ended it.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int Kill(int signal) {
    kill(pid_, signal);
    return Wait();
  }
  uint64_t ClusterId() const {
    auto stub = v1::Cluster::NewStub(MakeControlChannel(Address()));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    v1::WatchRequest request;
    request.set_once(true);
    auto reader = stub->Watch(&context, request);
    v1::ClusterState state;
    EXPECT_TRUE(reader->Read(&state));
    reader->Finish();
    return state.cluster_id();
  }

  std::string dir_;
  pid_t pid_ = -1;
};

TEST_F(ProcessTest, SaysWhereItListensAndStopsOnSigterm) {
  SpawnServing();
  EXPECT_EQ(Read("out"), "listening on " + Address() + "\n");
  EXPECT_NE(ClusterId(), 0u);
  EXPECT_EQ(Kill(SIGTERM), 0) << Read("err");
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/ready"));
}

TEST_F(ProcessTest, IsTheSameClusterAfterKillMinusNine) {
  SpawnServing();
  uint64_t id = ClusterId();
  EXPECT_EQ(Kill(SIGKILL), 128 + SIGKILL);
  SpawnServing();
  EXPECT_EQ(ClusterId(), id);
  EXPECT_EQ(Kill(SIGINT), 0);
}

TEST_F(ProcessTest, StopsWhenItsParentIsGone) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  SpawnServing(pipe_fds[0]);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  EXPECT_EQ(Wait(), 0) << Read("err");
}

TEST_F(ProcessTest, BadSettingsEndWithAStatusAndAReason) {
  Spawn({"--data-dirr", "x"});
  EXPECT_EQ(Wait(), 2);
  EXPECT_THAT(Read("err"), HasSubstr("--data-dir"));
  Spawn({"--data-dir", dir_ + "/data", "--shards", "3", "--listen",
         "127.0.0.1:0"});
  EXPECT_NE(Wait(), 0);
  EXPECT_THAT(Read("err"), HasSubstr("power of two"));
  Spawn({});
  EXPECT_NE(Wait(), 0);
  EXPECT_THAT(Read("err"), HasSubstr("--data-dir"));
}

}  // namespace
}  // namespace paramo
