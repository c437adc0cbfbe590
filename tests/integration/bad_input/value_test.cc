// Gradients and hyper-parameters that are no usable numbers (N1, N2). Whatever
// arrives, every row stays finite.
#include <cmath>
#include <cstring>
#include <limits>

#include "paramo/v1/control.pb.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

using Code = absl::StatusCode;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kNanD = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfD = std::numeric_limits<double>::infinity();

class ValueTest : public BadInputTest {
 protected:
  static v1::TableSpec Spec(const std::string& name, const std::string& rule,
                            v1::NonFinite::Policy policy, double clip = 0) {
    v1::TableSpec spec = CountingTable(name, 4);
    spec.mutable_rule()->set_name(rule);
    spec.mutable_non_finite()->set_policy(policy);
    spec.mutable_non_finite()->set_clip(clip);
    return spec;
  }

  // Pushes and returns the answer, then the rows of the same keys.
  static std::pair<v1::SectionReply, std::vector<float>> PushAndLook(
      const v1::Table& table, const std::vector<uint64_t>& keys,
      const std::vector<float>& grads) {
    v1::Request request;
    *request.add_push() = SimpleSection(table.id(), keys, grads);
    *request.add_pull() = SimpleSection(table.id(), keys);
    auto reply = server().PushPull(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok()) return {};
    EXPECT_EQ(reply->pull(0).code(), 0u) << reply->pull(0).message();
    return {reply->push(0), Floats(reply->pull(0).values())};
  }
};

// A section of keys of many shards with zeros for pulled values.
v1::Section WithPulled(uint32_t table, const std::vector<uint64_t>& keys) {
  v1::Section section =
      SimpleSection(table, keys, std::vector<float>(keys.size() * 8, 0));
  section.set_flags(v1::SECTION_FLAG_WITH_PULLED);
  return section;
}

// ---- N1: gradients ----------------------------------------------------------

TEST_F(ValueTest, N1_RejectRefusesTheWholeSectionForOneElement) {
  // 100 keys lie on most shards; none of them may apply its part.
  std::vector<uint64_t> keys(100);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  for (const float bad : {kNan, -kNan, kInf, -kInf}) {
    for (const size_t where : {size_t{0}, size_t{201}, size_t{399}}) {
      std::vector<float> grads(400, 1);
      grads[where] = bad;
      ExpectPushRefused(SimpleSection(victim_.id(), keys, grads),
                        Code::kInvalidArgument, v1::REASON_NON_FINITE);
    }
    ExpectPushRefused(
        SimpleSection(victim_.id(), keys, std::vector<float>(400, bad)),
        Code::kInvalidArgument, v1::REASON_NON_FINITE);
  }
  ExpectUnharmed();
}

TEST_F(ValueTest, N1_SkipLeavesTheRowAndCountsIt) {
  const v1::Table table = Create(Spec("skip", "sgd", v1::NonFinite::SKIP_ROW));
  const double before = server().Metric("paramo_rows_skipped_total");
  auto [answer, rows] = PushAndLook(
      table, {1, 2, 3}, {1, 1, 1, 1, 1, kNan, 1, 1, kInf, kInf, kInf, kInf});
  EXPECT_EQ(answer.code(), 0u) << answer.message();
  EXPECT_EQ(answer.rows_skipped(), 2u);
  EXPECT_EQ(rows, (std::vector<float>{-1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(server().Metric("paramo_rows_skipped_total"), before + 2);
  ExpectServing();
}

TEST_F(ValueTest, N1_ClipMakesNaNZeroAndCutsTheRest) {
  const v1::Table table = Create(Spec("clip", "sgd", v1::NonFinite::CLIP, 2));
  auto [answer, rows] = PushAndLook(table, {1, 2},
                                    {kNan, kInf, -kInf, 1,  //
                                     5, -5, 1e38f, 2});
  EXPECT_EQ(answer.code(), 0u) << answer.message();
  EXPECT_EQ(rows, (std::vector<float>{0, -2, 2, -1, -2, 2, -2, -2}));
  ExpectServing();
}

TEST_F(ValueTest, N1_DenormalGradientsAreApplied) {
  const v1::Table table = Create(CountingTable("denormal", 4));
  const float tiny = std::numeric_limits<float>::denorm_min();
  auto [answer, rows] = PushAndLook(table, {1}, {tiny, 3 * tiny, 0, -tiny});
  EXPECT_EQ(answer.code(), 0u) << answer.message();
  EXPECT_EQ(rows, (std::vector<float>{-tiny, -3 * tiny, 0, tiny}));
  ExpectServing();
}

// Finite gradients, but what they lead to is not: the row stays.
TEST_F(ValueTest, N1_HugeGradientsNeverMakeARowInfinite) {
  for (const char* rule : {"sgd", "momentum", "adagrad", "adam"}) {
    for (const auto policy : {v1::NonFinite::REJECT, v1::NonFinite::SKIP_ROW}) {
      v1::TableSpec spec =
          Spec(absl::StrCat("huge-", rule, "-", policy), rule, policy);
      (*spec.mutable_rule()->mutable_params())["lr"] =
          std::string(rule) == "sgd" ? 1 : 0.1;
      const v1::Table table = Create(spec);
      uint32_t skipped = 0;
      for (int i = 0; i < 5; ++i) {
        auto [answer, rows] =
            PushAndLook(table, {1, 2}, {1, 3e38f, 1, 1, 1, 1, 1, -3e38f});
        EXPECT_EQ(answer.code(), 0u) << answer.message();
        for (const float value : rows) EXPECT_TRUE(std::isfinite(value));
        skipped += answer.rows_skipped();
      }
      EXPECT_GT(skipped, 0u) << rule;
      // And the row is as usable as ever.
      auto [answer, rows] = PushAndLook(table, {1}, {1, -1, 1, 1});
      EXPECT_EQ(answer.code(), 0u);
      EXPECT_EQ(answer.rows_skipped(), 0u) << rule;
    }
  }
  ExpectServing();
}

// ---- N2: hyper-parameters ---------------------------------------------------

TEST_F(ValueTest, N1_PulledValuesAreRefusedWholeOrApplied) {
  const std::vector<uint64_t> keys = {1, 2, 3, 4, 5, 6, 7, 8};
  ExpectPushRefused(WithPulled(victim_.id(), keys), Code::kInvalidArgument,
                    v1::REASON_UNSUPPORTED);
  ExpectUnharmed();

  v1::TableSpec spec = CountingTable("compensated", 4);
  spec.set_delay_compensation(0.5);
  const v1::Table table = Create(spec);
  SetUp();  // the new table is a record of its own
  ExpectPushRefused(WithPulled(table.id(), {1, 2, 4, 3}),
                    Code::kInvalidArgument, v1::REASON_KEYS);
  ExpectPushRefused(WithPulled(table.id(), {1, 2, 2, 3}),
                    Code::kInvalidArgument, v1::REASON_KEYS);
  v1::Section lacking = WithPulled(table.id(), keys);
  lacking.set_values(lacking.values().substr(4));
  ExpectPushRefused(lacking, Code::kInvalidArgument, v1::REASON_DIMENSIONS);
  v1::Section bad = WithPulled(table.id(), keys);
  std::memcpy(bad.mutable_values()->data() + bad.values().size() - 4, &kNan, 4);
  ExpectPushRefused(bad, Code::kInvalidArgument, v1::REASON_NON_FINITE);
  ExpectUnharmed();

  // Rows of 1 and 2 stand at -2; pulled at 0: g' = 2 + 0.5 x 4 x -2 = -2.
  v1::Request request;
  *request.add_push() =
      SimpleSection(table.id(), {1, 2}, {2, 2, 2, 2, 2, 2, 2, 2});
  v1::Section& section = *request.add_push();
  section = SimpleSection(table.id(), {1, 2},
                          {2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0});
  section.set_flags(v1::SECTION_FLAG_WITH_PULLED);
  *request.add_pull() = SimpleSection(table.id(), {1, 2});
  auto reply = server().PushPull(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->push(1).code(), 0u) << reply->push(1).message();
  EXPECT_EQ(Floats(reply->pull(0).values()), std::vector<float>(8, 0));
}

struct BadParam {
  const char* rule;
  const char* name;
  double value;
};

TEST_F(ValueTest, N2_HyperParametersOutOfRangeAreRefused) {
  std::vector<BadParam> bad;
  for (const double value : {kNanD, kInfD, -kInfD, -0.1, 1e39}) {
    for (const char* rule : {"sgd", "momentum", "adagrad", "adam", "ftrl"}) {
      bad.push_back({rule, "lr", value});
    }
  }
  for (const double value : {kNanD, -0.1, 1.0, 1.5, kInfD}) {
    bad.push_back({"momentum", "momentum", value});
    bad.push_back({"nesterov", "momentum", value});
    bad.push_back({"rmsprop", "rho", value});
    bad.push_back({"adamw", "weight_decay", value});
    bad.push_back({"adam", "beta1", value});
    bad.push_back({"adam", "beta2", value});
  }
  for (const double value : {kNanD, -1e-8, kInfD}) {
    bad.push_back({"adam", "eps", value});
    bad.push_back({"adagrad", "eps", value});
    bad.push_back({"rowwise_adagrad", "eps", value});
    bad.push_back({"ftrl", "beta", value});
    bad.push_back({"ftrl", "l1", value});
    bad.push_back({"ftrl", "l2", value});
  }
  bad.push_back({"sgd", "beta1", 0.5});  // of another rule
  bad.push_back({"sgd", "", 0.5});
  v1::Table table = Create(Spec("altered", "adam", v1::NonFinite::REJECT));
  SetUp();  // the new table is a record of its own
  for (const BadParam& param : bad) {
    SCOPED_TRACE(absl::StrCat(param.rule, " ", param.name, "=", param.value));
    v1::TableSpec spec = Spec("bad", param.rule, v1::NonFinite::REJECT);
    (*spec.mutable_rule()->mutable_params())[param.name] = param.value;
    const absl::Status created = coordinator().CreateTable(spec).status();
    EXPECT_EQ(created.code(), Code::kInvalidArgument) << created;
    EXPECT_THAT(std::string(created.message()),
                ::testing::HasSubstr(param.name));
    if (std::string(param.rule) != "adam") continue;
    v1::AlterTableRequest alter;
    alter.set_name("altered");
    *alter.mutable_rule() = spec.rule();
    EXPECT_EQ(coordinator().AlterTable(alter).status().code(),
              Code::kInvalidArgument);
  }
  auto state = server().State();
  ASSERT_TRUE(state.ok()) << state.status();
  for (const v1::Table& kept : state->tables()) {
    EXPECT_NE(kept.spec().name(), "bad");
    if (kept.id() == table.id()) {
      EXPECT_EQ(kept.version(), table.version());
    }
  }
  ExpectUnharmed();
}

TEST_F(ValueTest, N2_PolicyAndInitializerOutOfRangeAreRefused) {
  for (const double clip : {kNanD, kInfD, 0.0, -1.0}) {
    EXPECT_EQ(coordinator()
                  .CreateTable(Spec("bad", "sgd", v1::NonFinite::CLIP, clip))
                  .status()
                  .code(),
              Code::kInvalidArgument)
        << clip;
  }
  for (const auto kind : {v1::Initializer::CONSTANT, v1::Initializer::UNIFORM,
                          v1::Initializer::NORMAL}) {
    for (const double a : {kNanD, kInfD, -kInfD, 1e39}) {
      v1::TableSpec spec = CountingTable("bad", 4);
      spec.mutable_initializer()->set_kind(kind);
      spec.mutable_initializer()->set_a(a);
      EXPECT_EQ(coordinator().CreateTable(spec).status().code(),
                Code::kInvalidArgument)
          << kind << " " << a;
    }
  }
  v1::TableSpec spec = CountingTable("bad", 4);
  spec.mutable_initializer()->set_kind(v1::Initializer::XAVIER);  // no fans
  EXPECT_EQ(coordinator().CreateTable(spec).status().code(),
            Code::kInvalidArgument);
  v1::TableSpec clipped = CountingTable("bad", 4);
  clipped.mutable_clipping()->set_norm(kNanD);
  EXPECT_EQ(coordinator().CreateTable(clipped).status().code(),
            Code::kInvalidArgument);
  v1::TableSpec scheduled = CountingTable("bad", 4);
  scheduled.mutable_schedule()->set_kind(v1::Schedule::COSINE);  // no period
  EXPECT_EQ(coordinator().CreateTable(scheduled).status().code(),
            Code::kInvalidArgument);
  v1::TableSpec compensated = CountingTable("bad", 4);
  compensated.set_delay_compensation(kInfD);
  EXPECT_EQ(coordinator().CreateTable(compensated).status().code(),
            Code::kInvalidArgument);
  spec.mutable_initializer()->set_kind(static_cast<v1::Initializer::Kind>(99));
  EXPECT_EQ(coordinator().CreateTable(spec).status().code(),
            Code::kInvalidArgument);
  ExpectUnharmed();
}

}  // namespace
}  // namespace paramo::test
