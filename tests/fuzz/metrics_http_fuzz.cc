// The head of a request to the metrics page. Oracle: one well-formed response,
// with as many bytes as it says.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/metrics/metrics_http.h"
#include "common/metrics/metrics_internal.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  MetricsRegistry registry;
  registry.AddCounter("requests", "of anybody").Add(1);
  MetricsHttp::Options options;
  options.registry = &registry;
  if (input.Choice(2) == 1) {
    options.health = [] { return absl::UnavailableError("starting"); };
  }
  const std::string head = input.Rest();
  const std::string response = AnswerHttp(options, head);

  PARAMO_CHECK(absl::StartsWith(response, "HTTP/1.1 "));
  const size_t end = response.find("\r\n\r\n");
  PARAMO_CHECK(end != std::string::npos);
  const size_t body_bytes = response.size() - end - 4;
  PARAMO_CHECK(absl::StrContains(
      response, absl::StrCat("\r\nContent-Length: ", body_bytes, "\r\n")));
  const std::string status = response.substr(9, 3);
  if (status == "200" || status == "503") {
    PARAMO_CHECK(absl::StartsWith(head, "GET /"));
    PARAMO_CHECK(absl::StrContains(head, " HTTP/1."));
  } else {
    PARAMO_CHECK(status == "400" || status == "404" || status == "405" ||
                 status == "431");
  }
  return 0;
}
