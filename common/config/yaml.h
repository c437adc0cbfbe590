// Strict YAML: what a person wrote, as a tree that remembers where each part
// stands, and readers whose errors name file, line, column and path.
//
// Refused: duplicate keys, unknown keys, anchors, aliases and tags (with them
// go alias bombs and surprising types), several documents, non-UTF-8, more
// than kConfigBytesMax, kYamlNodesMax or kYamlDepthMax.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/config/value.h"

namespace paramo {

struct YamlNode {
  enum class Kind { kNothing, kScalar, kList, kMap };

  Kind kind = Kind::kNothing;
  std::string where;  // "job.yaml:7:9"
  std::string path;   // "model.layers[2]", "" for the root
  std::string text;   // of a scalar
  bool quoted = false;
  std::vector<YamlNode> items;    // of a list, or the values of a map
  std::vector<std::string> keys;  // of a map, as many as items, in file order

  // The value of `key`, or null. Linear; maps here are small.
  const YamlNode* Find(absl::string_view key) const;

  // INVALID_ARGUMENT "job.yaml:7:9: model.layers[2]: `problem`".
  absl::Status Error(absl::string_view problem) const;
};

// Parses one document. `file` is the name used in errors. An empty document is
// an empty map.
// Errors: INVALID_ARGUMENT  "file:line:column: what is wrong and what to do"
absl::StatusOr<YamlNode> ParseYaml(absl::string_view text,
                                   absl::string_view file);

// Reads `file` (regular file or pipe, at most kConfigBytesMax) and parses it.
// Errors: NOT_FOUND and others of the file system, INVALID_ARGUMENT
absl::StatusOr<YamlNode> ParseYamlFile(const std::string& file);

// The scalar of `node` by type. Errors: INVALID_ARGUMENT naming the place.
absl::StatusOr<std::string> YamlText(const YamlNode& node);
absl::StatusOr<bool> YamlBool(const YamlNode& node);
absl::StatusOr<int64_t> YamlInt(const YamlNode& node, IntRange range);
absl::StatusOr<double> YamlNumber(const YamlNode& node, NumberRange range);
absl::StatusOr<int64_t> YamlSize(const YamlNode& node, IntRange range);
absl::StatusOr<absl::Duration> YamlDuration(const YamlNode& node,
                                            DurationRange range);

// Reads the keys of one map into variables; what is absent keeps its value.
// The first error sticks, and Finish() also refuses keys that nobody asked
// for, with a suggestion. So a file's schema is the list of reads:
//
//   YamlMap job(root);
//   job.Text("name", spec.name).Required();
//   job.Int("epochs", spec.epochs, {1, 1000});
//   job.Map("model", [&](YamlMap& model) { model.Text("kind", kind); });
//   PARAMO_RETURN_IF_ERROR(job.Finish());
//
// Threads: one. Borrows the node.
class YamlMap {
 public:
  explicit YamlMap(const YamlNode& node);

  YamlMap& Text(const char* key, std::string& value);
  // One of `choices`.
  YamlMap& Choice(const char* key, std::string& value,
                  const std::vector<std::string>& choices);
  YamlMap& Bool(const char* key, bool& value);
  YamlMap& Number(const char* key, double& value, NumberRange range = {});
  YamlMap& Duration(const char* key, absl::Duration& value,
                    DurationRange range = {});
  template <typename T>
  YamlMap& Int(const char* key, T& value, IntRange range = {}) {
    static_assert(std::is_integral_v<T> && !std::is_same_v<T, bool>);
    int64_t wide = 0;
    if (ReadInt(key, wide, Narrow<T>(range))) value = static_cast<T>(wide);
    return *this;
  }
  template <typename T>
  YamlMap& Size(const char* key, T& value, IntRange range = {}) {
    int64_t wide = 0;
    if (ReadSize(key, wide, Narrow<T>(range))) value = static_cast<T>(wide);
    return *this;
  }
  // A nested map; `read` is not called when the key is absent. Finish() of the
  // nested map is called for you.
  YamlMap& Map(const char* key, const std::function<void(YamlMap&)>& read);
  // Every item of a list, in order.
  YamlMap& List(const char* key,
                const std::function<absl::Status(const YamlNode&)>& read);
  // Every entry of a map with free keys, in file order.
  YamlMap& Entries(const char* key,
                   const std::function<absl::Status(const std::string& key,
                                                    const YamlNode&)>& read);

  // Makes the key of the last read compulsory.
  YamlMap& Required();

  // Records an error of the caller's own; the first one sticks.
  void Fail(absl::Status status);

  // The node of `key`, or null; counts as asked for.
  const YamlNode* Find(const char* key);

  absl::Status Finish();

 private:
  template <typename T>
  static IntRange Narrow(IntRange range) {
    if constexpr (sizeof(T) < sizeof(int64_t)) {
      constexpr auto kMax = static_cast<int64_t>(std::numeric_limits<T>::max());
      if (range.max > kMax) range.max = kMax;
    }
    return range;
  }
  bool ReadInt(const char* key, int64_t& value, IntRange range);
  bool ReadSize(const char* key, int64_t& value, IntRange range);

  const YamlNode& node_;
  std::vector<std::string> asked_;
  absl::Status status_;   // the first error
  absl::Status missing_;  // the first required key that is not there
};

}  // namespace paramo
