#include "common/metrics/metrics_http.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace paramo {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class MetricsHttpTest : public ::testing::Test {
 protected:
  void Start(std::function<absl::Status()> health = nullptr) {
    MetricsHttp::Options options;
    options.registry = &registry_;
    options.health = std::move(health);
    options.timeout = absl::Milliseconds(200);
    auto http = MetricsHttp::Start(std::move(options));
    ASSERT_TRUE(http.ok()) << http.status();
    http_ = std::move(*http);
  }

  int Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(http_->port());
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return fd;
  }

  static std::string ReadAll(int fd) {
    std::string all;
    char bytes[4096];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, n);
    close(fd);
    return all;
  }

  std::string Ask(const std::string& request) {
    const int fd = Connect();
    EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    return ReadAll(fd);
  }

  MetricsRegistry registry_;
  std::unique_ptr<MetricsHttp> http_;
};

TEST_F(MetricsHttpTest, ServesThePage) {
  registry_.AddCounter("paramo_a_total", "A.").Add(41);
  Start();
  const std::string answer = Ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("version=0.0.4"));
  EXPECT_THAT(answer, HasSubstr("\nparamo_a_total 41\n"));
}

TEST_F(MetricsHttpTest, HealthSaysWhyNot) {
  absl::Status health = absl::UnavailableError("no coordinator yet");
  Start([&health] { return health; });
  const std::string sick = Ask("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_THAT(sick, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(sick, HasSubstr("no coordinator yet"));
  health = absl::OkStatus();
  EXPECT_THAT(Ask("GET /healthz HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(MetricsHttpTest, RefusesWhatItDoesNotKnow) {
  Start();
  EXPECT_THAT(Ask("GET /etc/passwd HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask("POST /metrics HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Ask(std::string("\0\1\2 nonsense\r\n\r\n", 16)),
              StartsWith("HTTP/1.1 400"));
}

TEST_F(MetricsHttpTest, EndlessHeadIsCutOff) {
  Start();
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'x')),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(MetricsHttpTest, SilentPeerIsDroppedAndTheNextIsServed) {
  Start();
  const int silent = Connect();
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(ReadAll(silent), "");
}

TEST_F(MetricsHttpTest, StopsWhileAPeerIsConnected) {
  Start();
  const int silent = Connect();
  http_.reset();
  EXPECT_EQ(ReadAll(silent), "");
}

TEST_F(MetricsHttpTest, TakenPortAndBadHostAreErrors) {
  Start();
  MetricsHttp::Options options;
  options.registry = &registry_;
  options.port = http_->port();
  EXPECT_EQ(MetricsHttp::Start(options).status().code(),
            absl::StatusCode::kUnavailable);
  options.host = "not.numeric";
  EXPECT_EQ(MetricsHttp::Start(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace paramo
