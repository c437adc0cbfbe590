// One value of a setting; the last byte chooses of which kind. Oracle: what is
// accepted is in range, and written out it reads back as the same.
#include "common/config/value.h"

#include <nlohmann/json.hpp>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/json.h"
#include "common/config/utf8.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void CheckInt(absl::string_view text) {
  const IntRange range{-1000, INT64_MAX};
  auto value = ParseInt(text, range);
  if (!value.ok()) return;
  PARAMO_CHECK(*value >= range.min);
  PARAMO_CHECK(*ParseInt(absl::StrCat(*value), range) == *value);
}

void CheckNumber(absl::string_view text) {
  auto value = ParseNumber(text, {-1e300, 1e300});
  if (!value.ok()) return;
  PARAMO_CHECK(std::isfinite(*value) && std::fabs(*value) <= 1e300);
  PARAMO_CHECK(*ParseNumber(JsonNumber(*value), {-1e300, 1e300}) == *value);
}

void CheckSize(absl::string_view text) {
  auto value = ParseSize(text, {0, INT64_MAX});
  if (!value.ok()) return;
  PARAMO_CHECK(*value >= 0);
  PARAMO_CHECK(*ParseSize(FormatSize(*value), {0, INT64_MAX}) == *value);
}

void CheckDuration(absl::string_view text) {
  const DurationRange range{-absl::Hours(1), absl::Hours(24)};
  auto value = ParseDuration(text, range);
  if (!value.ok()) return;
  PARAMO_CHECK(*value >= range.min && *value <= range.max);
  PARAMO_CHECK(*ParseDuration(absl::FormatDuration(*value), range) == *value);
}

void CheckAddresses(absl::string_view text) {
  auto one = ParseHostPort(text);
  if (one.ok()) PARAMO_CHECK(!one->host.empty());
  auto list = ParseAddresses(text);
  if (!list.ok()) return;
  PARAMO_CHECK(absl::StrJoin(*list, ",") == text);
  for (const std::string& address : *list) {
    PARAMO_CHECK(ParseHostPort(address)->port != 0);
  }
}

void CheckText(const std::string& text) {
  const std::string json = JsonString(text);
  PARAMO_CHECK(nlohmann::json::accept(json));
  if (paramo::CheckText(text).ok()) {
    PARAMO_CHECK(nlohmann::json::parse(json).get<std::string>() == text);
  }
  PARAMO_CHECK(FindBadText(Printable(text), false) == absl::string_view::npos);
  const std::string suggestion = Suggest(text, {"listen", "data-dir", "x"});
  PARAMO_CHECK(suggestion.empty() || !text.empty());
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  const size_t kind = input.Choice(6);
  const std::string text = input.Rest();
  switch (kind) {
    case 0:
      CheckInt(text);
      break;
    case 1:
      CheckNumber(text);
      break;
    case 2:
      CheckSize(text);
      break;
    case 3:
      CheckDuration(text);
      break;
    case 4:
      CheckAddresses(text);
      break;
    case 5:
      CheckText(text);
      break;
  }
  return 0;
}
