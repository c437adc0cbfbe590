#include "tests/bench/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/output.h"

namespace paramo::bench {
namespace {

using cli::Cell;

Cell Number(const std::string& text) {
  Cell cell(text);
  cell.right = true;
  return cell;
}

std::string Short(double value) {
  return std::abs(value) >= 1000
             ? cli::Thousands(static_cast<uint64_t>(std::llround(value)))
             : absl::StrFormat("%.3g", value);
}

std::string TargetText(const Row& row) {
  if (row.target.op.empty()) return "";
  return absl::StrFormat("%s %.2f %s", row.target.op, row.target.ratio,
                         row.met ? "met" : "MISSED");
}

Cell Null() {
  Cell cell("");
  cell.json = "null";
  return cell;
}

}  // namespace

std::string Table(const std::vector<Row>& rows) {
  cli::Records table({"case", "value", "unit", "CPU", "unit of CPU", "spread",
                      "floor", "of floor", "its CPU", "ratio", "target",
                      "noisy"});
  bool noisy = false;
  for (const Row& row : rows) {
    const bool floor = !row.floor.empty();
    noisy |= row.noisy;
    table.Add({row.name, Number(Short(row.value)), NameOf(row.unit),
               Number(Short(row.cpu)), CpuNameOf(row.unit),
               Number(absl::StrFormat("%.0f%%", row.spread * 100)), row.floor,
               Number(floor ? Short(row.floor_value) : ""),
               Number(floor ? Short(row.floor_cpu) : ""),
               Number(floor ? absl::StrFormat("%.2f", row.ratio) : ""),
               TargetText(row), row.noisy ? "noisy" : ""});
  }
  return absl::StrCat(
      table.Table(),
      noisy ? "noisy: others used the machine in half of its runs or more\n"
            : "");
}

std::string Json(const std::string& bench, const Row& row) {
  const bool floor = !row.floor.empty();
  const bool target = !row.target.op.empty();
  return cli::JsonObject({
      {"bench", bench},
      {"case", row.name},
      {"value", row.value},
      {"unit", NameOf(row.unit)},
      {"cpu", row.cpu},
      {"floor", row.floor},
      {"floor_value", floor ? Cell(row.floor_value) : Null()},
      {"ratio", floor ? Cell(row.ratio) : Null()},
      {"op", row.target.op},
      {"target", target ? Cell(row.target.ratio) : Null()},
      {"met", target ? Cell(row.met) : Null()},
      {"spread", row.spread},
      {"noisy", row.noisy},
      {"explained_in", row.explained_in},
  });
}

}  // namespace paramo::bench
