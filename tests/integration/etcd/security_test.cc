// An etcd that asks its clients for certificates and a password.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/local_cluster.h"
#include "etcd/etcd.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/etcd/etcd_cluster.h"

namespace paramo::test {
namespace {

using ::testing::HasSubstr;

constexpr char kPassword[] = "correct horse";

// Authorities, and certificates of theirs for this machine, as files in `dir`.
class Certificates {
 public:
  explicit Certificates(const std::string& dir) : dir_(dir) {
    for (const char* authority : {"ours", "others"}) {
      Run(absl::StrCat("req -x509 -days 2 -subj /CN=", authority,
                       New(authority), " -out ", Certificate(authority)));
    }
    Sign("etcd", "ours");
    Sign("client", "ours");
    Sign("stranger", "others");
  }
  std::string Certificate(const std::string& name) const {
    return absl::StrCat(dir_, "/", name, ".pem");
  }
  std::string Key(const std::string& name) const {
    return absl::StrCat(dir_, "/", name, ".key");
  }

 private:
  std::string New(const std::string& name) const {
    return absl::StrCat(" -nodes -newkey ec -pkeyopt ",
                        "ec_paramgen_curve:prime256v1 -keyout ", Key(name));
  }
  void Sign(const std::string& name, const std::string& authority) const {
    const std::string request = absl::StrCat(dir_, "/", name, ".csr");
    const std::string extension = absl::StrCat(dir_, "/", name, ".ext");
    Run(absl::StrCat("req -subj /CN=", name, New(name), " -out ", request));
    std::ofstream(extension) << "subjectAltName=IP:127.0.0.1\n";
    Run(absl::StrCat("x509 -req -days 2 -in ", request, " -CA ",
                     Certificate(authority), " -CAkey ", Key(authority),
                     " -CAcreateserial -extfile ", extension, " -out ",
                     Certificate(name)));
  }
  void Run(const std::string& what) const {
    const std::string log = dir_ + "/openssl.log";
    ASSERT_EQ(std::system(
                  absl::StrCat("openssl ", what, " > ", log, " 2>&1").c_str()),
              0)
        << what << ": " << ReadWholeFile(log);
  }

  const std::string dir_;
};

class SecurityTest : public ::testing::Test {
 protected:
  // One etcd for all: user `paramo` may read and write the keys of Paramo.
  static void SetUpTestSuite() {
    files_ = std::make_unique<TempDir>();
    certificates_ = std::make_unique<Certificates>(files_->path());
    etcd_ = std::make_unique<EtcdCluster>(
        1, EtcdTls{certificates_->Certificate("ours"),
                   certificates_->Certificate("etcd"),
                   certificates_->Key("etcd")});
    Ask("UserAdd", "root", "another");
    Ask("RoleAdd", "root");
    Ask("UserGrantRole", "root", "root");
    Ask("RoleAdd", "paramo");
    // RoleGrantPermission{name, perm{READWRITE, key, range_end}}
    Ask("RoleGrantPermission", "paramo",
        std::string("\x08\x02\x12\x08/paramo/\x1a\x08/paramo0", 22));
    for (const char* user : {"paramo", "nobody"}) {
      Ask("UserAdd", user, kPassword);
    }
    Ask("UserGrantRole", "paramo", "paramo");
    Ask("AuthEnable");
  }
  static void TearDownTestSuite() {
    etcd_.reset();
    certificates_.reset();
    files_.reset();
  }
  // These requests all begin with one or two strings.
  static void Ask(const std::string& method, const std::string& name = "",
                  const std::string& second = "") {
    etcdserverpb::AuthenticateRequest request;
    request.set_name(name);
    request.set_password(second);
    const auto answer =
        Peer(etcd_->endpoint(0))
            .Raw("/etcdserverpb.Auth/" + method, request.SerializeAsString());
    ASSERT_TRUE(answer.ok()) << method << ": " << answer.status();
  }

  std::vector<std::string> Tls(const std::string& authority,
                               const std::string& client) const {
    std::vector<std::string> args = {"--etcd-ca-file",
                                     certificates_->Certificate(authority)};
    if (client.empty()) return args;
    args.insert(args.end(),
                {"--etcd-cert-file", certificates_->Certificate(client),
                 "--etcd-key-file", certificates_->Key(client)});
    return args;
  }
  std::vector<std::string> User(const std::string& name,
                                const std::string& password) const {
    return {"--etcd-user", name, "--etcd-password-file",
            files_->Write("password", password + "\n")};
  }

  // A coordinator over the etcd, until it is ready.
  void Start(std::vector<std::vector<std::string>> parts,
             const std::string& endpoint = etcd_->secure_endpoint(0)) {
    coordinator_.reset();
    std::filesystem::remove(ready_file());
    std::vector<std::string> args = {
        "--listen",       "127.0.0.1:0", "--store",   "etcd://" + endpoint,
        "--cluster-name", name_,         "--servers", "1",
        "--ready-file",   ready_file()};
    for (const auto& part : parts) {
      args.insert(args.end(), part.begin(), part.end());
    }
    coordinator_ = StartBinary("paramo-coordinator", args, log_file());
    ASSERT_TRUE(WaitUntil([&] { return !address().empty(); })) << log();
  }
  std::string ready_file() const { return dir_.path() + "/ready"; }
  std::string log_file() const { return dir_.path() + "/log"; }
  std::string log() const { return ReadWholeFile(log_file()); }
  std::string address() const {
    return cli::ReadReadyFile(ready_file())["address"];
  }
  // 0: it does not lead.
  uint64_t Session() const {
    auto session = Peer(address()).OpenSession();
    return session.ok() ? session->session() : 0;
  }
  bool Leads() const { return Session() != 0; }
  void ExpectSaid(const std::string& what) {
    EXPECT_TRUE(WaitUntil([&] { return absl::StrContains(log(), what); }))
        << what << "\n"
        << log();
    EXPECT_FALSE(Leads());
  }

  static std::unique_ptr<TempDir> files_;
  static std::unique_ptr<Certificates> certificates_;
  static std::unique_ptr<EtcdCluster> etcd_;
  const std::string name_ = UniqueName();
  TempDir dir_;
  std::unique_ptr<cli::Process> coordinator_;
};
std::unique_ptr<TempDir> SecurityTest::files_;
std::unique_ptr<Certificates> SecurityTest::certificates_;
std::unique_ptr<EtcdCluster> SecurityTest::etcd_;

TEST_F(SecurityTest, ACertificateAndAPasswordOpenIt) {
  Start({Tls("ours", "client"), User("paramo", kPassword)});
  EXPECT_TRUE(WaitUntil([&] { return Leads(); })) << log();
  // etcd forgets all tokens; the one here is void.
  etcd_->Restart();
  EXPECT_TRUE(WaitUntil([&] { return Leads(); })) << log();
  const uint64_t session = Session();
  ASSERT_NE(session, 0u) << log();
  // Another one finds what this one wrote.
  coordinator_->Signal(SIGTERM);
  EXPECT_TRUE(coordinator_->WaitFor(absl::Seconds(20)));
  EXPECT_EQ(coordinator_->Outcome(), "exit status 0") << log();
  Start({Tls("ours", "client"), User("paramo", kPassword)});
  EXPECT_TRUE(WaitUntil([&] { return Leads(); })) << log();
  EXPECT_GT(Session(), session);
}

TEST_F(SecurityTest, WhatIsWrongIsSaid) {
  const auto certificate = Tls("ours", "client");
  Start({certificate, User("paramo", "wrong")});
  ExpectSaid("check --etcd-user and what is in --etcd-password-file");
  Start({certificate, User("stranger", kPassword)});
  ExpectSaid("check --etcd-user and what is in --etcd-password-file");
  Start({certificate, User("nobody", kPassword)});
  ExpectSaid("the user needs a role");
  Start({Tls("others", "client"), User("paramo", kPassword)});
  ExpectSaid("--etcd-ca-file must have the authority");
  for (const char* client : {"", "stranger"}) {
    Start({Tls("ours", client), User("paramo", kPassword)});
    ExpectSaid("does etcd trust --etcd-cert-file");
  }
  Start({});
  ExpectSaid("if this etcd wants TLS, give --etcd-ca-file");
  Start({}, etcd_->endpoint(0));
  ExpectSaid("give --etcd-user and --etcd-password-file");
}

TEST_F(SecurityTest, TheDoctorComesInAsACoordinatorDoes) {
  const auto doctor = [&](std::vector<std::vector<std::string>> parts) {
    std::vector<std::string> args = {"doctor", "--etcd",
                                     etcd_->secure_endpoint(0)};
    for (const auto& part : parts) {
      args.insert(args.end(), part.begin(), part.end());
    }
    return RunBinary("paramo", args).output;
  };
  const auto certificate = Tls("ours", "client");
  EXPECT_THAT(doctor({certificate, User("paramo", kPassword)}),
              HasSubstr(", leads,"));
  EXPECT_THAT(doctor({certificate}), HasSubstr(", leads,"));
  EXPECT_THAT(doctor({certificate, User("paramo", "wrong")}),
              HasSubstr("see --etcd-user and --etcd-password-file"));
  EXPECT_THAT(doctor({Tls("others", "client")}),
              HasSubstr("--etcd-ca-file must have the authority"));
  EXPECT_THAT(doctor({}), HasSubstr("if this etcd wants TLS"));
  EXPECT_THAT(doctor({{"--etcd-user", "paramo"}}),
              HasSubstr("needs --etcd-password-file"));
}

TEST_F(SecurityTest, HalfOfAPairOrAFileThatIsNotThereEndsTheStart) {
  const std::string certificate = certificates_->Certificate("client");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--etcd-cert-file", certificate}, "needs --etcd-key-file"},
      {{"--etcd-key-file", certificate}, "needs --etcd-cert-file"},
      {{"--etcd-user", "paramo"}, "needs --etcd-password-file"},
      {{"--etcd-ca-file", "/nowhere"}, "/nowhere: No such file"},
      {{"--etcd-ca-file", files_->Write("empty", "")}, "it is empty"}};
  for (const auto& [args, said] : cases) {
    std::vector<std::string> all = {"--store", "etcd://127.0.0.1:1"};
    all.insert(all.end(), args.begin(), args.end());
    const Ran ran = RunBinary("paramo-coordinator", all);
    EXPECT_EQ(ran.outcome, "exit status 1") << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(said));
  }
}

}  // namespace
}  // namespace paramo::test
