#include "common/transport/address.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace paramo {
namespace {

constexpr size_t kHostBytesMax = 253;  // of a DNS name

absl::Status Wrong(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "address \"", Printable(text), "\": ", why,
      "; write host:port, for example 10.0.0.7:7070 or [::1]:7070"));
}

bool IsHostByte(char c) {
  return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
}

bool IsIpv6Byte(char c) {
  return absl::ascii_isxdigit(c) || c == ':' || c == '.';
}

}  // namespace

std::string Address::ToString() const {
  const bool brackets = host.find(':') != std::string::npos;
  return brackets ? absl::StrCat("[", host, "]:", port)
                  : absl::StrCat(host, ":", port);
}

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Wrong(text, "there is no port");
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port_text = text.substr(colon + 1);

  const bool brackets = absl::StartsWith(host, "[") &&
                        absl::EndsWith(host, "]") && host.size() > 2;
  if (brackets) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Wrong(text, "there is no host");
  if (host.size() > kHostBytesMax) return Wrong(text, "the host is too long");
  if (!std::all_of(host.begin(), host.end(),
                   brackets ? IsIpv6Byte : IsHostByte))
    return Wrong(text,
                 "the host has a character that no host has (an IPv6 "
                 "address stands in brackets)");

  // Digits only: SimpleAtoi alone would take "+1" and " 1".
  uint32_t port = 0;
  if (port_text.empty() || port_text.size() > 5 ||
      !std::all_of(port_text.begin(), port_text.end(),
                   [](char c) { return absl::ascii_isdigit(c); }) ||
      !absl::SimpleAtoi(port_text, &port) || port > 65535)
    return Wrong(text, "the port is not a number from 0 to 65535");

  Address address;
  address.host = std::string(host.data(), host.size());
  address.port = static_cast<int>(port);
  return address;
}

absl::StatusOr<std::vector<Address>> ParseAddressList(absl::string_view text) {
  std::vector<Address> addresses;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    PARAMO_ASSIGN_OR_RETURN(Address address, ParseAddress(part));
    if (address.port == 0) return Wrong(part, "port 0 is for listening only");
    if (std::find(addresses.begin(), addresses.end(), address) !=
        addresses.end())
      return Wrong(part, "it is in the list twice");
    addresses.push_back(std::move(address));
  }
  return addresses;
}

bool IsLoopback(const Address& address) {
  if (address.host == "localhost" || address.host == "::1") return true;
  // Exactly four numbers: "127.evil.example" is a name.
  const std::vector<std::string> parts = absl::StrSplit(address.host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  return std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    uint32_t number = 0;
    return part.size() <= 3 && absl::SimpleAtoi(part, &number) && number < 256;
  });
}

}  // namespace paramo
