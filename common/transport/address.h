// Addresses as people write them: "host:port", and lists of them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace paramo {

struct Address {
  std::string host;  // a name or a numeric address, without brackets
  int port = 0;

  // "host:port", with brackets around an IPv6 host.
  std::string ToString() const;
  bool operator==(const Address& other) const {
    return host == other.host && port == other.port;
  }
};

// One "host:port" or "[v6]:port". Port 0 ("any free one") is for listening
// only; ParseAddressList refuses it.
// Errors: INVALID_ARGUMENT, saying which part is wrong and what it should be.
absl::StatusOr<Address> ParseAddress(absl::string_view text);

// "host:port,host:port,...": PARAMO_ADDRESS and --address. At least one; no
// empty elements, no spaces, no address twice.
absl::StatusOr<std::vector<Address>> ParseAddressList(absl::string_view text);

// True when only this machine can reach it: 127.0.0.0/8, ::1 and "localhost".
// Any other name counts as not loopback, without being resolved.
bool IsLoopback(const Address& address);

}  // namespace paramo
