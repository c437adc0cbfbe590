// floors: what the machine and gRPC give without Paramo, at the sizes and
// windows of `wire` and `rows`.
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "tests/bench/bench.h"
#include "tests/bench/local_floors.h"
#include "tests/bench/wire.h"

namespace paramo::bench {
namespace {

class Floors final : public Bench {
 public:
  absl::Status Prepare(Lab& lab, Plan& plan, bool smoke) override {
    PARAMO_RETURN_IF_ERROR(AddWires(lab, plan, smoke));
    for (size_t rows : {1024, 8192}) {
      AddLocal(plan, RuleFloor("adagrad", 64, rows, smoke ? 10'000 : 1'000'000),
               absl::StrCat(", ", rows, " rows x 64"), Unit::kRows);
    }
    PARAMO_ASSIGN_OR_RETURN(const std::string directory, lab.Directory());
    for (size_t bytes : {64 << 10, 1 << 20}) {
      AddLocal(plan, AppendFloor(directory, bytes, [] { return 0; }),
               absl::StrCat(" ", SizeText(bytes)), Unit::kGigabytes);
      AddLocal(plan, AppendFloor(directory, bytes, [=] { return bytes; }),
               absl::StrCat(" + fdatasync ", SizeText(bytes)),
               Unit::kGigabytes);
    }
    return absl::OkStatus();
  }

 private:
  static void AddLocal(Plan& plan, Subject subject, const std::string& what,
                       Unit unit) {
    Line line;
    line.name = absl::StrCat(subject.name, what);
    line.unit = unit;
    line.subject = plan.Add(std::move(subject));
    plan.Show(std::move(line));
  }

  // Push: a request of the size and an answer of a few bytes; a pull is the
  // same with the ends exchanged.
  absl::Status AddWires(Lab& lab, Plan& plan, bool smoke) {
    for (const WireSize& size : WireSizes(smoke)) {
      AddLocal(plan, CopyFloor(size.bytes),
               absl::StrCat(" ", SizeText(size.bytes)), Unit::kGigabytes);
      Load load;
      load.in_flight = size.in_flight;
      for (Via via : kVias) {
        PARAMO_ASSIGN_OR_RETURN(
            Subject echo,
            lab.Echo(via, {.request = size.bytes, .answer = 64}, load,
                     {.bytes = static_cast<double>(size.bytes)}));
        AddLocal(plan, std::move(echo),
                 absl::StrCat(" ", SizeText(size.bytes), ", ", size.in_flight,
                              " in flight"),
                 Unit::kGigabytes);
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Bench> MakeFloors() { return std::make_unique<Floors>(); }

}  // namespace paramo::bench
