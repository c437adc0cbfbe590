// YAML text. Oracle: an accepted tree keeps the limits and its own shape, every
// error names a place in the file, and every reader takes any node.
#include "common/config/yaml.h"

#include <set>

#include "absl/strings/match.h"
#include "common/base/limits.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo {
namespace {

void CheckError(const absl::Status& status) {
  PARAMO_CHECK(absl::IsInvalidArgument(status));
  PARAMO_CHECK(absl::StartsWith(status.message(), "f.yaml:"));
}

template <typename T>
void CheckRead(const absl::StatusOr<T>& value) {
  if (!value.ok()) CheckError(value.status());
}

void ReadAs(const YamlNode& node) {
  CheckRead(YamlText(node));
  CheckRead(YamlBool(node));
  CheckRead(YamlInt(node, {-5, 1000}));
  CheckRead(YamlNumber(node, {}));
  CheckRead(YamlSize(node, {1, INT64_MAX}));
  CheckRead(YamlDuration(node, {}));
}

// Returns how many nodes there are.
size_t Check(const YamlNode& node, size_t depth) {
  PARAMO_CHECK(depth <= kYamlDepthMax);
  PARAMO_CHECK(absl::StartsWith(node.where, "f.yaml:"));
  CheckError(node.Error("problem"));
  ReadAs(node);
  const bool map = node.kind == YamlNode::Kind::kMap;
  PARAMO_CHECK(node.keys.size() == (map ? node.items.size() : 0));
  PARAMO_CHECK(
      std::set<std::string>(node.keys.begin(), node.keys.end()).size() ==
      node.keys.size());
  for (const std::string& key : node.keys) {
    PARAMO_CHECK(!key.empty() && key.size() <= kYamlKeyBytesMax);
    PARAMO_CHECK(node.Find(key) != nullptr);
  }
  size_t nodes = 1;
  for (const YamlNode& item : node.items) nodes += Check(item, depth + 1);
  return nodes;
}

void ReadAsSettings(const YamlNode& root) {
  YamlMap map(root);
  std::string name;
  size_t count = 0;
  map.Text("name", name).Required();
  map.Int("count", count, {0, 9});
  map.Map("nested", [](YamlMap& nested) {
    double number = 0;
    nested.Number("number", number, {}).Required();
  });
  map.Entries("entries", [](const std::string&, const YamlNode& node) {
    return YamlInt(node, {}).status();
  });
  const absl::Status status = map.Finish();
  if (!status.ok()) CheckError(status);
}

}  // namespace
}  // namespace paramo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace paramo;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  auto root = ParseYaml(text, "f.yaml");
  if (!root.ok()) {
    CheckError(root.status());
    return 0;
  }
  PARAMO_CHECK(Check(*root, 0) <= kYamlNodesMax + 1);
  ReadAsSettings(*root);
  return 0;
}
