#include "client/cli/output.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/base/log.h"

namespace paramo::cli {

Cell::Cell(double value)
    : text(absl::StrFormat("%.4g", value)),
      json(JsonNumber(value)),
      right(true) {}

Records::Records(std::vector<std::string> columns)
    : columns_(std::move(columns)) {}

void Records::Add(std::vector<Cell> row) {
  PARAMO_CHECK(row.size() == columns_.size());
  rows_.push_back(std::move(row));
}

std::string Records::Table() const {
  std::vector<std::vector<std::string>> texts;
  std::vector<size_t> widths;
  for (const std::string& column : columns_) widths.push_back(column.size());
  for (const std::vector<Cell>& row : rows_) {
    std::vector<std::string>& out = texts.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      out.push_back(Printable(row[i].text));
      widths[i] = std::max(widths[i], out.back().size());
    }
  }
  auto pad = [&](size_t i, const std::string& text, bool right) {
    const std::string space(widths[i] - text.size(), ' ');
    return right ? space + text : text + space;
  };
  // A column is set to the right when its values are.
  auto line = [&](const std::vector<std::string>& cells) {
    std::string out;
    for (size_t i = 0; i < cells.size(); ++i) {
      const bool right = !rows_.empty() && rows_.front()[i].right;
      absl::StrAppend(&out, i == 0 ? "" : "  ", pad(i, cells[i], right));
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  };
  std::string out = line(columns_);
  for (const auto& cells : texts) out += line(cells);
  return out;
}

std::string Records::Json() const {
  std::string out = "[";
  for (const std::vector<Cell>& row : rows_) {
    std::vector<std::pair<std::string, Cell>> fields;
    for (size_t i = 0; i < row.size(); ++i) {
      fields.emplace_back(columns_[i], row[i]);
    }
    absl::StrAppend(&out, out.size() > 1 ? ", " : "", JsonObject(fields));
  }
  return out + "]";
}

std::string JsonObject(
    const std::vector<std::pair<std::string, Cell>>& fields) {
  std::string out = "{";
  for (const auto& field : fields) {
    absl::StrAppend(&out, out.size() > 1 ? ", " : "", JsonString(field.first),
                    ": ", field.second.json);
  }
  return out + "}";
}

std::string Thousands(uint64_t value) {
  std::string digits = absl::StrCat(value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

std::string HumanBytes(double bytes) {
  for (const char* unit : {"B", "KB", "MB", "GB"}) {
    if (bytes < 1000) return absl::StrFormat("%.3g %s", bytes, unit);
    bytes /= 1000;
  }
  return absl::StrFormat("%.3g TB", bytes);
}

}  // namespace paramo::cli
