// What an etcd asks for that does not let everybody in: certificates, a user's
// password.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace paramo {

// As the operator names them; empty = not given.
struct EtcdSecurityOptions {
  std::string ca_file;    // of the authority that signed etcd's certificates
  std::string cert_file;  // ours, where etcd wants one of its clients
  std::string key_file;
  std::string user;
  std::string password_file;  // its first line
};

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

}  // namespace paramo
