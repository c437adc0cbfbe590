// The flags of `paramo table create`, one a line. Oracle: what they make is
// what a server can serve or says it cannot, and schedules read back as they
// are shown.
#include "absl/strings/str_split.h"
#include "client/cli/gradient_spec.h"
#include "client/cli/table_spec.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  fuzz::Input input(data, size);
  cli::TableFlags flags;
  flags.name = "t";
  flags.dim = static_cast<uint32_t>(input.Choice(3));
  flags.block = static_cast<uint32_t>(input.Choice(2));
  flags.rule = input.TakeUntil('\n');
  flags.params = absl::StrSplit(input.TakeUntil('\n'), ' ', absl::SkipEmpty());
  flags.init = input.TakeUntil('\n');
  flags.tensor = input.TakeUntil('\n');
  flags.non_finite = input.TakeUntil('\n');
  flags.gradients.clipping = input.TakeUntil('\n');
  flags.gradients.schedule = input.TakeUntil('\n');
  v1::TableSpec spec;
  const absl::Status status = cli::ReadTableSpec(flags, spec);
  if (!status.ok()) {
    PARAMO_CHECK(absl::IsInvalidArgument(status));
    return 0;
  }
  PARAMO_CHECK(spec.dim() > 0);
  uint64_t elements = 1;
  for (uint64_t extent : spec.tensor().shape()) {
    PARAMO_CHECK(extent >= 1 && elements <= (uint64_t{1} << 48) / extent);
    elements *= extent;
  }
  PARAMO_CHECK(!cli::GradientText(spec).empty());
  v1::Schedule again;
  PARAMO_CHECK(
      cli::ReadSchedule(cli::ScheduleText(spec.schedule()), again).ok());
  PARAMO_CHECK(again.kind() == spec.schedule().kind());
  PARAMO_CHECK(again.period() == spec.schedule().period());
  PARAMO_CHECK(again.warmup() == spec.schedule().warmup());
  return 0;
}
