#include "common/etcd/security.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/config.h"

namespace paramo {
namespace {

namespace fs = std::filesystem;

absl::Status Pair(absl::string_view one, const std::string& first,
                  absl::string_view other, const std::string& second) {
  if (first.empty() == second.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", first.empty() ? other : one, " needs --",
                   first.empty() ? one : other, " as well"));
}

absl::Status ReadInto(absl::string_view flag, const std::string& file,
                      std::string& text) {
  if (file.empty()) return absl::OkStatus();
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  text.assign(std::istreambuf_iterator<char>(in), {});
  if (in.is_open() && !in.bad() && !text.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", Printable(file), ": ",
                   errno != 0 ? std::strerror(errno) : "it is empty"));
}

void WarnIfOpen(const std::string& file) {
  std::error_code error;
  const fs::perms mode = fs::status(file, error).permissions();
  if (error || (mode & fs::perms::others_read) == fs::perms::none) return;
  LogWarning("%s is a secret, and every user of this machine may read it",
             Printable(file));
}

}  // namespace

void DeclareEtcdSecurity(Config& config, EtcdSecurityOptions& options) {
  config
      .Text("etcd-ca-file", options.ca_file,
            "speak TLS to etcd, whose certificate one of these authorities "
            "signed (PEM)")
      .Unit("FILE");
  config
      .Text("etcd-cert-file", options.cert_file,
            "with TLS, show etcd this certificate (PEM)")
      .Unit("FILE");
  config.Text("etcd-key-file", options.key_file, "that certificate's key (PEM)")
      .Unit("FILE");
  config.Text("etcd-user", options.user, "tell etcd to be this user")
      .Unit("NAME");
  config
      .Text("etcd-password-file", options.password_file,
            "the first line is that user's password")
      .Unit("FILE");
}

absl::StatusOr<EtcdSecurity> ReadEtcdSecurity(
    const EtcdSecurityOptions& options) {
  PARAMO_RETURN_IF_ERROR(Pair("etcd-cert-file", options.cert_file,
                              "etcd-key-file", options.key_file));
  PARAMO_RETURN_IF_ERROR(Pair("etcd-user", options.user, "etcd-password-file",
                              options.password_file));
  EtcdSecurity security;
  security.user = options.user;
  PARAMO_RETURN_IF_ERROR(
      ReadInto("etcd-ca-file", options.ca_file, security.ca));
  PARAMO_RETURN_IF_ERROR(
      ReadInto("etcd-cert-file", options.cert_file, security.cert));
  PARAMO_RETURN_IF_ERROR(
      ReadInto("etcd-key-file", options.key_file, security.key));
  PARAMO_RETURN_IF_ERROR(
      ReadInto("etcd-password-file", options.password_file, security.password));
  security.password.resize(std::min(security.password.size(),
                                    security.password.find_first_of("\r\n")));
  WarnIfOpen(options.key_file);
  WarnIfOpen(options.password_file);
  if (!options.user.empty() && !security.tls()) {
    LogWarning(
        "etcd's password goes over the network as it is: give --etcd-ca-file");
  }
  return security;
}

std::shared_ptr<grpc::ChannelCredentials> EtcdCredentials(
    const EtcdSecurity& security) {
  if (!security.tls()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = security.ca;
  options.pem_private_key = security.key;
  options.pem_cert_chain = security.cert;
  return grpc::SslCredentials(options);
}

// gRPC does not tell what a connection failed of, but for its words.
std::string EtcdConnectAdvice(const EtcdSecurity& security,
                              absl::string_view message) {
  if (!security.tls()) {
    return "; if this etcd wants TLS, give --etcd-ca-file";
  }
  if (absl::StrContains(message, "certificate verify failed")) {
    return "; --etcd-ca-file must have the authority that signed etcd's "
           "certificate";
  }
  return "; is TLS on there, does etcd's certificate name this address, and "
         "does etcd trust --etcd-cert-file, if it wants one?";
}

}  // namespace paramo
