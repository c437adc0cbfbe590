// What an etcd asks for that does not let everybody in: certificates, a user's
// password.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace grpc {
class ChannelCredentials;
}

namespace paramo {

class Config;

// As the operator names them; empty = not given.
struct EtcdSecurityOptions {
  std::string ca_file;    // of the authority that signed etcd's certificates
  std::string cert_file;  // ours, where etcd wants one of its clients
  std::string key_file;
  std::string user;
  std::string password_file;  // its first line
};

// Their flags, --etcd-ca-file and so on; the same wherever etcd is asked.
void DeclareEtcdSecurity(Config& config, EtcdSecurityOptions& options);

// What is in those files.
struct EtcdSecurity {
  std::string ca;  // PEM; empty with a certificate: the system's authorities
  std::string cert;
  std::string key;
  std::string user;  // empty = no password is given
  std::string password;

  bool tls() const { return !ca.empty() || !cert.empty(); }
};

// Warns of secrets that other users of the machine may read.
// Errors: INVALID_ARGUMENT  one is given without the other that goes with it;
//                           a file cannot be read, or is empty
absl::StatusOr<EtcdSecurity> ReadEtcdSecurity(
    const EtcdSecurityOptions& options);

std::shared_ptr<grpc::ChannelCredentials> EtcdCredentials(
    const EtcdSecurity& security);

// What to look at when no connection can be made, which failed of `message`.
std::string EtcdConnectAdvice(const EtcdSecurity& security,
                              absl::string_view message);

}  // namespace paramo
