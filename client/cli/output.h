// What commands print: records as an aligned table, or as JSON.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/config/json.h"

namespace paramo::cli {

// One value, as people and as programs read it.
struct Cell {
  std::string text;
  std::string json;
  bool right = false;  // numbers line up on the right

  Cell(const std::string& value) : text(value), json(JsonString(value)) {}
  Cell(const char* value) : Cell(std::string(value)) {}
  template <typename T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  Cell(T value) : text(absl::StrCat(value)), json(text), right(true) {}
  Cell(bool value)
      : text(value ? "yes" : "no"), json(value ? "true" : "false") {}
  // Rounded for people, exact for programs.
  Cell(double value);
};

// Rows under named columns. Text comes escaped: names may be hostile.
class Records {
 public:
  explicit Records(std::vector<std::string> columns);
  void Add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  std::string Table() const;
  std::string Json() const;  // an array of objects, on one line

 private:
  const std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// One flat JSON object, on one line.
std::string JsonObject(const std::vector<std::pair<std::string, Cell>>& fields);

// 12345678 -> "12,345,678".
std::string Thousands(uint64_t value);
// 1234567 bytes -> "1.23 MB".
std::string HumanBytes(double bytes);

}  // namespace paramo::cli
