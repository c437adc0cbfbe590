#include "common/config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The message that `text` is refused with; "" when it is accepted.
std::string Refusal(const std::string& text) {
  auto root = ParseYaml(text, "job.yaml");
  return root.ok() ? "" : std::string(root.status().message());
}

std::string Repeat(const std::string& part, size_t times) {
  std::string out;
  out.reserve(part.size() * times);
  for (size_t i = 0; i < times; ++i) out += part;
  return out;
}

struct Job {
  std::string name;
  std::string sync = "bsp";
  uint32_t epochs = 5;
  double lr = 0.1;
  bool shuffle = true;
  absl::Duration lease = absl::Seconds(3);
  uint64_t memory = 0;
  std::vector<int64_t> layers;
};

absl::Status ReadJob(const std::string& text, Job& job) {
  auto root = ParseYaml(text, "job.yaml");
  if (!root.ok()) return root.status();
  YamlMap map(*root);
  map.Text("name", job.name).Required();
  map.Choice("sync", job.sync, {"bsp", "async"});
  map.Int("epochs", job.epochs, {1, 1000});
  map.Bool("shuffle", job.shuffle);
  map.Duration("lease", job.lease, {absl::Seconds(1), absl::Minutes(1)});
  map.Size("memory", job.memory);
  map.Map("model", [&](YamlMap& model) {
    model.Number("lr", job.lr, {0, 10});
    model.List("layers", [&](const YamlNode& node) -> absl::Status {
      auto width = YamlInt(node, {1, 1024});
      if (width.ok()) job.layers.push_back(*width);
      return width.status();
    });
  });
  return map.Finish();
}

std::string JobError(const std::string& text) {
  Job job;
  return std::string(ReadJob(text, job).message());
}

TEST(Yaml, ReadsAJob) {
  Job job;
  ASSERT_TRUE(ReadJob("# a job\nname: \"fashion\"\nsync: async\nepochs: 7\n"
                      "shuffle: false\nlease: 2500ms\nmemory: 1MiB\n"
                      "model:\n  lr: 5e-2\n  layers: [784, 256]\n",
                      job)
                  .ok());
  EXPECT_EQ(job.name, "fashion");
  EXPECT_EQ(job.sync, "async");
  EXPECT_EQ(job.epochs, 7u);
  EXPECT_FALSE(job.shuffle);
  EXPECT_EQ(job.lease, absl::Milliseconds(2500));
  EXPECT_EQ(job.memory, 1u << 20);
  EXPECT_DOUBLE_EQ(job.lr, 0.05);
  EXPECT_THAT(job.layers, ::testing::ElementsAre(784, 256));
}

TEST(Yaml, NamesPlaceAndPathOfABadValue) {
  EXPECT_THAT(
      JobError("name: x\nmodel:\n  layers:\n    - 10\n    - wide\n"),
      StartsWith("job.yaml:5:7: model.layers[1]: `wide` is not a whole"));
  EXPECT_THAT(JobError("name: x\nepochs: 0\n"),
              StartsWith("job.yaml:2:1: epochs: `0` is not a whole number from "
                         "1 to 1000"));
  EXPECT_THAT(JobError("name: x\nepochs: \"5\"\n"),
              HasSubstr("without quotes"));
  EXPECT_THAT(JobError("name: x\nepochs: [5]\n"), HasSubstr("found a list"));
  EXPECT_THAT(JobError("name: x\nepochs:\n"), HasSubstr("found nothing"));
  EXPECT_THAT(JobError("name: x\nmodel: deep\n"), HasSubstr("expected a map"));
  EXPECT_THAT(JobError("name: x\nmodel:\n  lr: .nan\n"), HasSubstr("finite"));
  EXPECT_THAT(JobError("- name\n"), HasSubstr("expected a map, found a list"));
}

TEST(Yaml, RefusesUnknownKeysWithASuggestion) {
  EXPECT_THAT(JobError("name: x\nepohcs: 5\n"),
              StartsWith("job.yaml:2:1: epohcs: unknown key; did you mean "
                         "`epochs`?"));
  EXPECT_THAT(JobError("name: x\nmodel:\n  lrr: 5\n"),
              HasSubstr("model.lrr: unknown key; did you mean `lr`?"));
  EXPECT_THAT(JobError("name: x\nsync: bps\n"),
              HasSubstr("did you mean `bsp`?"));
  EXPECT_THAT(JobError("name: x\nzzzzzz: 5\n"), HasSubstr("known here: name"));
}

TEST(Yaml, MissesWhatIsRequired) {
  EXPECT_THAT(JobError(""), HasSubstr("`name` is missing"));
  EXPECT_THAT(JobError("# only a comment\n"), HasSubstr("`name` is missing"));
}

TEST(Yaml, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_EQ(Refusal("a: 1\nb: 2\na: 3\n"),
            "job.yaml:3:1: duplicate key `a`, first at job.yaml:1:1; keep one "
            "of them");
  EXPECT_THAT(Refusal("m:\n  x: 1\n  x: 1\n"), HasSubstr("duplicate key `x`"));
  EXPECT_THAT(Refusal("m: {x: 1, \"x\": 2}\n"), HasSubstr("duplicate key `x`"));
}

TEST(Yaml, RefusesAnchorsAliasesAndTags) {
  EXPECT_THAT(Refusal("a: &x 1\nb: *x\n"), StartsWith("job.yaml:1:4: anchors"));
  EXPECT_NE(Refusal("a: *x\n"), "");
  EXPECT_THAT(Refusal("a: !!binary aGk=\n"), HasSubstr("tags"));
  EXPECT_NE(Refusal("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"), "");
  EXPECT_NE(Refusal("a: 1\n---\nb: 2\n"), "");
  EXPECT_NE(Refusal("? [a, b]\n: 1\n"), "");
  EXPECT_NE(Refusal("~: 1\n"), "");
  EXPECT_NE(Refusal(absl::StrCat(std::string(300, 'k'), ": 1\n")), "");
}

TEST(Yaml, RefusesWhatIsNotText) {
  EXPECT_THAT(Refusal("a: 1\nb: \xff\n"),
              StartsWith("job.yaml:2:4: byte 0xff"));
  EXPECT_THAT(Refusal(std::string("a: \0", 4)), HasSubstr("byte 0x00"));
  EXPECT_THAT(Refusal("a: \x1b[31m\n"), HasSubstr("byte 0x1b"));
  EXPECT_NE(Refusal(std::string("\xff\xfe"
                                "a\0:\0",
                                6)),
            "");  // UTF-16
}

// Each shape as large as a file may be; none may take long or crash.
TEST(Yaml, SurvivesHostileShapes) {
  const size_t bytes = kConfigBytesMax;
  const std::string shapes[] = {
      std::string(bytes, '['),
      std::string(bytes, '{'),
      Repeat("- ", bytes / 2),
      Repeat("? ", bytes / 2),
      Repeat("a:\n ", 20) + Repeat("[a: ", bytes / 5),
      Repeat("x ", bytes / 2),
      std::string(bytes, '"'),
      std::string(bytes, '\n'),
      std::string(bytes, ':'),
      std::string(bytes, '-'),
      std::string(bytes, '!'),
      std::string(bytes, '&'),
      std::string(bytes, '*'),
      std::string(bytes, '%'),
      std::string(bytes, '#'),
      "a: |\n" + Repeat(" b\n", bytes / 4),
      absl::StrCat("a: [", Repeat("1,", bytes / 3), "]"),
      Repeat("a: ", bytes / 3),
      Repeat("---\n", bytes / 4),
      "a: \"" + Repeat("\\x41", bytes / 5) + "\"",
      absl::StrCat("{", Repeat("a,", bytes / 3), "}"),
  };
  for (const std::string& shape : shapes) {
    const absl::Time start = absl::Now();
    const std::string refusal = Refusal(shape);
    EXPECT_LT(absl::Now() - start, absl::Seconds(20)) << shape.substr(0, 20);
    EXPECT_LT(refusal.size(), 1024u) << shape.substr(0, 20);
  }
  EXPECT_THAT(Refusal(std::string(bytes + 1, ' ')), HasSubstr("at most"));
}

TEST(Yaml, LimitsDepthAndValues) {
  EXPECT_EQ(Refusal(Repeat("[", kYamlDepthMax) + Repeat("]", kYamlDepthMax)),
            "");
  EXPECT_THAT(
      Refusal(Repeat("[", kYamlDepthMax + 1) + Repeat("]", kYamlDepthMax + 1)),
      HasSubstr("levels"));
  EXPECT_EQ(Refusal(absl::StrCat("[", Repeat("1,", kYamlNodesMax - 1), "]")),
            "");
  EXPECT_THAT(Refusal(absl::StrCat("[", Repeat("1,", kYamlNodesMax), "]")),
              HasSubstr("values"));
}

TEST(Yaml, LimitsTheBytesOfAKey) {
  EXPECT_EQ(Refusal(Repeat("k", kYamlKeyBytesMax) + ": 1"), "");
  EXPECT_THAT(Refusal(Repeat("k", kYamlKeyBytesMax + 1) + ": 1"),
              HasSubstr("256 bytes"));
}

}  // namespace
}  // namespace paramo
