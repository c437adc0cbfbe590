// The only file that sees yaml-cpp. Its node API keeps duplicate keys silently
// and expands aliases, so the tree is built here from parse events.
#include "common/config/yaml.h"

#include <exception>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/file.h"
#include "common/config/utf8.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace paramo {
namespace {

std::string Where(absl::string_view file, int line, int column) {
  return absl::StrCat(file, ":", line, ":", column);
}

// How the builder leaves yaml-cpp's parser; caught in ParseYaml.
struct Refused : std::exception {
  explicit Refused(absl::Status status) : status(std::move(status)) {}
  absl::Status status;
};

// Builds the tree bottom up: a frame per open map or list, its finished node
// moved into the frame below.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(absl::string_view file) : file_(file) {}

  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) {
      Refuse(mark, "a second document; keep one per file");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (IsKey()) Refuse(mark, "an empty key; give it a name");
    Add(Start(mark, YamlNode::Kind::kNothing));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "aliases (*name) are not supported; repeat the value");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    Refuse(mark, "anchors (&name) are not supported; remove it");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    CheckPlain(mark, tag, anchor);
    if (IsKey()) {
      AcceptKey(mark, value);
      return;
    }
    YamlNode node = Start(mark, YamlNode::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!";
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    YamlNode node;
    absl::flat_hash_set<std::string> seen;  // keys of a map
    bool has_key = false;                   // the next value belongs to:
    std::string key;
    YAML::Mark key_mark;
  };

  [[noreturn]] void Refuse(const YAML::Mark& mark, absl::string_view why) {
    throw Refused(absl::InvalidArgumentError(
        absl::StrCat(Where(file_, mark.line + 1, mark.column + 1), ": ", why)));
  }

  bool IsKey() const {
    return !frames_.empty() &&
           frames_.back().node.kind == YamlNode::Kind::kMap &&
           !frames_.back().has_key;
  }

  void CheckPlain(const YAML::Mark& mark, const std::string& tag,
                  YAML::anchor_t anchor) {
    if (anchor != 0) OnAnchor(mark, "");
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(mark, absl::StrCat("tags (", Printable(tag, 32),
                                ") are not supported; remove it"));
    }
  }

  void AcceptKey(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = frames_.back();
    if (key.empty() || key.size() > kYamlKeyBytesMax) {
      Refuse(mark,
             absl::StrCat("a key must have 1 to ", kYamlKeyBytesMax, " bytes"));
    }
    if (!frame.seen.insert(key).second) {
      Refuse(mark,
             absl::StrCat("duplicate key `", Printable(key, 64), "`, first at ",
                          frame.node.Find(key)->where, "; keep one of them"));
    }
    frame.has_key = true;
    frame.key = key;
    frame.key_mark = mark;
  }

  // A node with its place and path. A map's value stands where its key does.
  YamlNode Start(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (++nodes_ > kYamlNodesMax) {
      Refuse(mark, absl::StrCat("more than ", kYamlNodesMax,
                                " values; a file this large is not meant"));
    }
    YamlNode node;
    node.kind = kind;
    YAML::Mark place = mark;
    if (!frames_.empty()) {
      const Frame& frame = frames_.back();
      const std::string& above = frame.node.path;
      if (frame.node.kind == YamlNode::Kind::kMap) {
        place = frame.key_mark;
        node.path = absl::StrCat(above, above.empty() ? "" : ".",
                                 Printable(frame.key, 64));
      } else {
        node.path = absl::StrCat(above, "[", frame.node.items.size(), "]");
      }
    }
    node.where = Where(file_, place.line + 1, place.column + 1);
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor, YamlNode::Kind kind) {
    CheckPlain(mark, tag, anchor);
    if (IsKey()) Refuse(mark, "a key must be a single word");
    if (frames_.size() >= kYamlDepthMax) {
      Refuse(mark, absl::StrCat("more than ", kYamlDepthMax,
                                " levels of maps and lists"));
    }
    YamlNode node = Start(mark, kind);
    frames_.emplace_back();
    frames_.back().node = std::move(node);
  }

  void Close() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.kind == YamlNode::Kind::kMap) {
      frame.node.keys.push_back(std::move(frame.key));
      frame.has_key = false;
    }
    frame.node.items.push_back(std::move(node));
  }

  const std::string file_;
  int documents_ = 0;
  size_t nodes_ = 0;
  std::vector<Frame> frames_;
  YamlNode root_;
};

// yaml-cpp would guess at encodings; only UTF-8 passes.
absl::Status CheckEncoding(absl::string_view text, absl::string_view file) {
  const size_t bad = FindBadText(text, /*lines=*/true);
  if (bad == absl::string_view::npos) return absl::OkStatus();
  int line = 1;
  int column = 1;
  for (char c : text.substr(0, bad)) {
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      Where(file, line, column), ": byte 0x",
      absl::Hex(static_cast<uint8_t>(text[bad]), absl::kZeroPad2),
      " is a control character or not UTF-8; save the file as plain UTF-8"));
}

// Reads through a fixed buffer, so that the text is not copied.
class TextStream : public std::streambuf, public std::istream {
 public:
  explicit TextStream(absl::string_view text) : std::istream(this) {
    char* begin = const_cast<char*>(text.data());  // read only: no put area
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(absl::string_view text,
                                   absl::string_view file) {
  const std::string name = Printable(file);
  if (text.size() > kConfigBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": has ", text.size(), " bytes; at most ",
                     kConfigBytesMax, " are read"));
  }
  PARAMO_RETURN_IF_ERROR(CheckEncoding(text, name));
  TreeBuilder builder(name);
  try {
    TextStream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    return refused.status;
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(Where(name, error.mark.line + 1, error.mark.column + 1),
                     ": not YAML: ", Printable(error.msg)));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not YAML: ", Printable(error.what())));
  }
  YamlNode root = builder.TakeRoot();
  if (root.kind == YamlNode::Kind::kNothing) {  // empty, or comments only
    root.kind = YamlNode::Kind::kMap;
    if (root.where.empty()) root.where = Where(name, 1, 1);
  }
  return root;
}

absl::StatusOr<YamlNode> ParseYamlFile(const std::string& file) {
  PARAMO_ASSIGN_OR_RETURN(std::string text,
                          ReadFileUpTo(file, kConfigBytesMax));
  return ParseYaml(text, file);
}

}  // namespace paramo
