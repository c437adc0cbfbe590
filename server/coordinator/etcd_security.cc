#include "server/coordinator/etcd_security.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/status.h"

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

}  // namespace paramo
