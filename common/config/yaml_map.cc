// The readers of yaml.h: they see only the tree, never the YAML library.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/yaml.h"

namespace paramo {
namespace {

const char* KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNothing:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "?";
}

absl::Status Expect(const YamlNode& node, YamlNode::Kind kind) {
  if (node.kind == kind) return absl::OkStatus();
  return node.Error(absl::StrCat("expected ", KindName(kind), ", found ",
                                 KindName(node.kind)));
}

// Parses the unquoted scalar of `node`; quotes mean text and nothing else.
template <typename Parse>
auto Scalar(const YamlNode& node, const Parse& parse)
    -> decltype(parse(absl::string_view())) {
  PARAMO_RETURN_IF_ERROR(Expect(node, YamlNode::Kind::kScalar));
  absl::string_view text(node.text.data(), node.text.size());
  if (node.quoted) {
    return node.Error(absl::StrCat("\"", Printable(text, 64),
                                   "\" is text; write it without quotes"));
  }
  auto value = parse(text);
  if (!value.ok()) return node.Error(value.status().message());
  return value;
}

}  // namespace

const YamlNode* YamlNode::Find(absl::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (absl::string_view(keys[i].data(), keys[i].size()) == key) {
      return &items[i];
    }
  }
  return nullptr;
}

absl::Status YamlNode::Error(absl::string_view problem) const {
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": ", path, path.empty() ? "" : ": ", problem));
}

absl::StatusOr<std::string> YamlText(const YamlNode& node) {
  PARAMO_RETURN_IF_ERROR(Expect(node, YamlNode::Kind::kScalar));
  return node.text;
}
absl::StatusOr<bool> YamlBool(const YamlNode& node) {
  return Scalar(node, [](absl::string_view text) { return ParseBool(text); });
}
absl::StatusOr<int64_t> YamlInt(const YamlNode& node, IntRange range) {
  return Scalar(node,
                [&](absl::string_view text) { return ParseInt(text, range); });
}
absl::StatusOr<double> YamlNumber(const YamlNode& node, NumberRange range) {
  return Scalar(
      node, [&](absl::string_view text) { return ParseNumber(text, range); });
}
absl::StatusOr<int64_t> YamlSize(const YamlNode& node, IntRange range) {
  return Scalar(node,
                [&](absl::string_view text) { return ParseSize(text, range); });
}
absl::StatusOr<absl::Duration> YamlDuration(const YamlNode& node,
                                            DurationRange range) {
  return Scalar(
      node, [&](absl::string_view text) { return ParseDuration(text, range); });
}

YamlMap::YamlMap(const YamlNode& node)
    : node_(node), status_(Expect(node, YamlNode::Kind::kMap)) {}

const YamlNode* YamlMap::Find(const char* key) {
  asked_.push_back(key);
  return status_.ok() ? node_.Find(key) : nullptr;
}

void YamlMap::Fail(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

YamlMap& YamlMap::Text(const char* key, std::string& value) {
  if (const YamlNode* node = Find(key)) {
    auto text = YamlText(*node);
    if (text.ok()) {
      value = *std::move(text);
    } else {
      Fail(text.status());
    }
  }
  return *this;
}

YamlMap& YamlMap::Choice(const char* key, std::string& value,
                         const std::vector<std::string>& choices) {
  if (const YamlNode* node = Find(key)) {
    auto text = YamlText(*node);
    if (!text.ok()) {
      Fail(text.status());
    } else if (std::find(choices.begin(), choices.end(), *text) ==
               choices.end()) {
      Fail(node->Error(
          absl::StrCat("`", Printable(*text, 64), "` is not one of ",
                       absl::StrJoin(choices, ", "), Suggest(*text, choices))));
    } else {
      value = *std::move(text);
    }
  }
  return *this;
}

YamlMap& YamlMap::Bool(const char* key, bool& value) {
  if (const YamlNode* node = Find(key)) {
    auto parsed = YamlBool(*node);
    if (parsed.ok()) value = *parsed;
    Fail(parsed.status());
  }
  return *this;
}

YamlMap& YamlMap::Number(const char* key, double& value, NumberRange range) {
  if (const YamlNode* node = Find(key)) {
    auto parsed = YamlNumber(*node, range);
    if (parsed.ok()) value = *parsed;
    Fail(parsed.status());
  }
  return *this;
}

YamlMap& YamlMap::Duration(const char* key, absl::Duration& value,
                           DurationRange range) {
  if (const YamlNode* node = Find(key)) {
    auto parsed = YamlDuration(*node, range);
    if (parsed.ok()) value = *parsed;
    Fail(parsed.status());
  }
  return *this;
}

bool YamlMap::ReadInt(const char* key, int64_t& value, IntRange range) {
  const YamlNode* node = Find(key);
  if (node == nullptr) return false;
  auto parsed = YamlInt(*node, range);
  if (parsed.ok()) value = *parsed;
  Fail(parsed.status());
  return parsed.ok();
}

bool YamlMap::ReadSize(const char* key, int64_t& value, IntRange range) {
  const YamlNode* node = Find(key);
  if (node == nullptr) return false;
  auto parsed = YamlSize(*node, range);
  if (parsed.ok()) value = *parsed;
  Fail(parsed.status());
  return parsed.ok();
}

YamlMap& YamlMap::Map(const char* key,
                      const std::function<void(YamlMap&)>& read) {
  if (const YamlNode* node = Find(key)) {
    YamlMap nested(*node);
    if (nested.status_.ok()) read(nested);
    Fail(nested.Finish());
  }
  return *this;
}

YamlMap& YamlMap::List(
    const char* key, const std::function<absl::Status(const YamlNode&)>& read) {
  if (const YamlNode* node = Find(key)) {
    Fail(Expect(*node, YamlNode::Kind::kList));
    for (size_t i = 0; i < node->items.size() && status_.ok(); ++i) {
      Fail(read(node->items[i]));
    }
  }
  return *this;
}

YamlMap& YamlMap::Entries(
    const char* key,
    const std::function<absl::Status(const std::string&, const YamlNode&)>&
        read) {
  if (const YamlNode* node = Find(key)) {
    Fail(Expect(*node, YamlNode::Kind::kMap));
    for (size_t i = 0; i < node->items.size() && status_.ok(); ++i) {
      Fail(read(node->keys[i], node->items[i]));
    }
  }
  return *this;
}

YamlMap& YamlMap::Required() {
  if (missing_.ok() && node_.Find(asked_.back()) == nullptr) {
    missing_ =
        node_.Error(absl::StrCat("`", asked_.back(), "` is missing; add it"));
  }
  return *this;
}

absl::Status YamlMap::Finish() {
  if (!status_.ok()) return status_;
  for (size_t i = 0; i < node_.keys.size(); ++i) {
    const std::string& key = node_.keys[i];
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
    const std::string suggestion = Suggest(key, asked_);
    std::string known =
        absl::StrCat("; known here: ", absl::StrJoin(asked_, ", "));
    Fail(node_.items[i].Error(
        absl::StrCat("unknown key", suggestion.empty() ? known : suggestion)));
    break;
  }
  // Last: a key that is missing may be there under a misspelt name.
  Fail(missing_);
  return status_;
}

}  // namespace paramo
