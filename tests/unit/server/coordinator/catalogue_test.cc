#include "server/coordinator/catalogue.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/limits.h"
#include "gmock/gmock.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/control.pb.h"
#include "tests/unit/server/coordinator/test_util.h"

namespace paramo {
namespace {

using testing::HasSubstr;

class CatalogueTest : public testing::Test {
 protected:
  static v1::TableSpec Spec(const std::string& name = "ads") {
    v1::TableSpec spec;
    spec.set_name(name);
    spec.set_dim(64);
    spec.mutable_rule()->set_name("sgd");
    return spec;
  }
  absl::StatusOr<bool> Create(const v1::TableSpec& spec) {
    table_.Clear();
    return catalogue_.Create(spec, &table_);
  }
  // INVALID_ARGUMENT whose text names `field`, and nothing has changed.
  void ExpectRefused(const v1::TableSpec& spec, const std::string& field) {
    absl::StatusOr<bool> created = Create(spec);
    EXPECT_CODE(kInvalidArgument, created);
    EXPECT_THAT(std::string(created.status().message()), HasSubstr(field));
    EXPECT_TRUE(changes_.empty()) << field;
  }

  Changes changes_;
  Catalogue catalogue_{/*seed_base=*/5, CheckTestRule, changes_};
  v1::Table table_;
};

TEST_F(CatalogueTest, CreatesATableWithDefaultsFilledIn) {
  absl::StatusOr<bool> created = Create(Spec());
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(*created);
  EXPECT_EQ(table_.id(), 1u);
  EXPECT_EQ(table_.version(), 1u);
  EXPECT_EQ(table_.spec().rule().params().at("lr"), 0.5);
  EXPECT_NE(table_.spec().seed(), 0u);
  EXPECT_TRUE(changes_.state_changed());
}

TEST_F(CatalogueTest, KnowsItsTablesCodec) {
  v1::TableSpec spec = Spec();
  spec.set_codec(99);
  ExpectRefused(spec, "codec 99 is unknown");
  spec.set_codec(2);
  ASSERT_TRUE(Create(spec).ok());
  EXPECT_EQ(table_.spec().codec(), 2u);
  spec.set_codec(3);
  const absl::Status other = Create(spec).status();
  EXPECT_THAT(std::string(other.message()),
              HasSubstr("codec: 2 there, 3 asked"));
}

TEST_F(CatalogueTest, OpensAnEqualTable) {
  ASSERT_TRUE(Create(Spec()).ok());
  uint64_t seed = table_.spec().seed();
  v1::TableSpec equal = Spec();
  (*equal.mutable_rule()->mutable_params())["lr"] = 0.5;  // the default
  equal.set_seed(seed);
  absl::StatusOr<bool> created = Create(equal);
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_FALSE(*created);
  EXPECT_EQ(table_.id(), 1u);
}

TEST_F(CatalogueTest, RefusesADifferentTableOfThatNameShowingTheDifference) {
  ASSERT_TRUE(Create(Spec()).ok());
  v1::TableSpec other = Spec();
  other.set_dim(32);
  (*other.mutable_rule()->mutable_params())["lr"] = 0.25;
  other.mutable_initializer()->set_kind(v1::Initializer::NORMAL);
  other.mutable_initializer()->set_a(0.1);
  absl::StatusOr<bool> created = Create(other);
  EXPECT_CODE(kAlreadyExists, created);
  std::string text(created.status().message());
  EXPECT_THAT(text, HasSubstr("dim: 64 there, 32 asked"));
  EXPECT_THAT(text, HasSubstr("rule.params.lr: 0.5 there, 0.25 asked"));
  EXPECT_THAT(text, HasSubstr("initializer.kind: ZEROS there, NORMAL asked"));
}

TEST_F(CatalogueTest, RefusesBadNamesAndDims) {
  ExpectRefused(Spec(""), "table name");
  ExpectRefused(Spec("Ads"), "table name");
  ExpectRefused(Spec("a/../b"), "table name");
  v1::TableSpec spec = Spec();
  spec.set_dim(0);
  ExpectRefused(spec, "dim");
  spec.set_dim(kDimMax + 1);
  ExpectRefused(spec, "dim");
}

TEST_F(CatalogueTest, RefusesBadRules) {
  v1::TableSpec spec = Spec();
  spec.mutable_rule()->set_name("magic");
  ExpectRefused(spec, "rule");
  for (double lr : {0.0, -1.0, 11.0, std::nan(""),
                    std::numeric_limits<double>::infinity()}) {
    spec = Spec();
    (*spec.mutable_rule()->mutable_params())["lr"] = lr;
    ExpectRefused(spec, "rule");
  }
}

TEST_F(CatalogueTest, RefusesBadTensors) {
  v1::TableSpec spec = Spec();
  spec.mutable_tensor();
  ExpectRefused(spec, "tensor.shape");
  spec.mutable_tensor()->add_shape(3);
  spec.mutable_tensor()->add_shape(0);
  ExpectRefused(spec, "tensor.shape");
  // 2^33 squared overflows 64 bits.
  spec.mutable_tensor()->clear_shape();
  spec.mutable_tensor()->add_shape(uint64_t{1} << 33);
  spec.mutable_tensor()->add_shape(uint64_t{1} << 33);
  ExpectRefused(spec, "tensor.shape");
  // One row more than a shard may hold.
  spec.mutable_tensor()->clear_shape();
  spec.mutable_tensor()->add_shape(kRowsPerShardTableMax + 1);
  spec.mutable_tensor()->add_shape(spec.dim());
  ExpectRefused(spec, "tensor.shape");
  spec.mutable_tensor()->clear_shape();
  for (int i = 0; i <= kTensorRankMax; ++i) spec.mutable_tensor()->add_shape(1);
  ExpectRefused(spec, "rank");
}

TEST_F(CatalogueTest, TakesTheLargestTensor) {
  v1::TableSpec spec = Spec();
  spec.mutable_tensor()->add_shape(kRowsPerShardTableMax);
  spec.mutable_tensor()->add_shape(spec.dim());
  EXPECT_TRUE(Create(spec).ok());
}

TEST_F(CatalogueTest, RefusesBadInitializers) {
  v1::TableSpec spec = Spec();
  v1::Initializer* init = spec.mutable_initializer();
  init->set_kind(static_cast<v1::Initializer::Kind>(9));
  ExpectRefused(spec, "initializer.kind");
  init->set_kind(v1::Initializer::CONSTANT);
  init->set_a(std::nan(""));
  ExpectRefused(spec, "initializer.a");
  init->set_a(1e31);
  ExpectRefused(spec, "initializer.a");
  init->set_kind(v1::Initializer::UNIFORM);
  init->set_a(-1);
  ExpectRefused(spec, "initializer.a");
  init->set_kind(v1::Initializer::XAVIER);
  init->set_a(0);
  ExpectRefused(spec, "fan_in");
}

TEST_F(CatalogueTest, RefusesBadNonFinitePolicies) {
  v1::TableSpec spec = Spec();
  v1::NonFinite* policy = spec.mutable_non_finite();
  policy->set_policy(static_cast<v1::NonFinite::Policy>(7));
  ExpectRefused(spec, "non_finite.policy");
  policy->set_policy(v1::NonFinite::CLIP);
  for (double clip : {0.0, -1.0, std::nan(""), 1e39}) {
    policy->set_clip(clip);
    ExpectRefused(spec, "non_finite.clip");
  }
  policy->set_policy(v1::NonFinite::REJECT);
  policy->set_clip(1);
  ExpectRefused(spec, "non_finite.clip");
}

TEST_F(CatalogueTest, RefusesBadClippingAndCompensation) {
  for (double bad : {-1.0, std::nan(""), 1e39, 1e-60}) {
    v1::TableSpec spec = Spec();
    spec.mutable_clipping()->set_value(bad);
    ExpectRefused(spec, "clipping.value");
    spec.mutable_clipping()->set_value(1);
    spec.mutable_clipping()->set_norm(bad);
    ExpectRefused(spec, "clipping.norm");
    spec.mutable_clipping()->set_norm(0);
    spec.set_delay_compensation(bad);
    ExpectRefused(spec, "delay_compensation");
  }
  v1::TableSpec spec = Spec();
  spec.set_delay_compensation(kDelayCompensationMax + 1);
  ExpectRefused(spec, "delay_compensation");
}

TEST_F(CatalogueTest, RefusesBadSchedules) {
  v1::TableSpec spec = Spec();
  v1::Schedule& schedule = *spec.mutable_schedule();
  schedule.set_kind(static_cast<v1::Schedule::Kind>(3));
  ExpectRefused(spec, "schedule.kind");
  schedule.set_kind(v1::Schedule::STEP);
  ExpectRefused(spec, "schedule.period");  // none
  schedule.set_period((uint64_t{1} << 53) + 1);
  ExpectRefused(spec, "schedule.period");
  schedule.set_period(10);
  for (double bad : {-0.1, 1.1, std::nan("")}) {
    schedule.set_decay(bad);
    ExpectRefused(spec, "schedule.decay");
  }
  schedule.set_decay(0.5);
  schedule.set_floor(0.5);  // only a cosine has one
  ExpectRefused(spec, "schedule.floor");
  schedule.set_kind(v1::Schedule::COSINE);
  ExpectRefused(spec, "schedule.decay");
  schedule.set_decay(0);
  schedule.set_warmup(~uint64_t{0});
  ExpectRefused(spec, "schedule.warmup");
  schedule.set_warmup(5);
  schedule.set_kind(v1::Schedule::CONSTANT);
  schedule.set_floor(0);
  ExpectRefused(spec, "schedule.period");  // a constant has none
  schedule.set_period(0);
  EXPECT_TRUE(Create(spec).ok());
}

TEST_F(CatalogueTest, AltersOneGradientOptionAndKeepsTheOthers) {
  v1::TableSpec spec = Spec();
  spec.mutable_clipping()->set_norm(2);
  ASSERT_TRUE(Create(spec).ok());
  v1::AlterTableRequest alter;
  alter.set_name("ads");
  alter.mutable_schedule()->set_warmup(100);
  alter.set_staleness_scaling(true);
  alter.set_delay_compensation(0.25);
  ASSERT_TRUE(catalogue_.Alter(alter, &table_).ok());
  EXPECT_EQ(table_.version(), 2u);
  EXPECT_EQ(table_.spec().clipping().norm(), 2);
  EXPECT_EQ(table_.spec().schedule().warmup(), 100u);
  EXPECT_TRUE(table_.spec().staleness_scaling());
  EXPECT_EQ(table_.spec().delay_compensation(), 0.25);

  alter.Clear();
  alter.set_name("ads");
  alter.mutable_clipping()->set_norm(-1);
  EXPECT_CODE(kInvalidArgument, catalogue_.Alter(alter, &table_));
  alter.clear_clipping();
  alter.set_staleness_scaling(false);  // given, though it is the default
  ASSERT_TRUE(catalogue_.Alter(alter, &table_).ok());
  EXPECT_EQ(table_.version(), 3u);
  EXPECT_FALSE(table_.spec().staleness_scaling());
  EXPECT_EQ(table_.spec().delay_compensation(), 0.25);
}

TEST_F(CatalogueTest, AMatrixGivesXavierItsFans) {
  v1::TableSpec spec = Spec();
  spec.mutable_initializer()->set_kind(v1::Initializer::XAVIER);
  spec.mutable_tensor()->add_shape(784);
  spec.mutable_tensor()->add_shape(256);
  ASSERT_TRUE(Create(spec).ok());
  EXPECT_EQ(table_.spec().initializer().fan_in(), 784u);
  EXPECT_EQ(table_.spec().initializer().fan_out(), 256u);
}

TEST_F(CatalogueTest, AltersRuleParametersAndPolicy) {
  ASSERT_TRUE(Create(Spec()).ok());
  v1::AlterTableRequest alter;
  alter.set_name("ads");
  EXPECT_CODE(kInvalidArgument, catalogue_.Alter(alter, &table_));
  alter.mutable_rule()->set_name("sgd");
  (*alter.mutable_rule()->mutable_params())["lr"] = 0.1;
  alter.mutable_non_finite()->set_policy(v1::NonFinite::SKIP_ROW);
  ASSERT_TRUE(catalogue_.Alter(alter, &table_).ok());
  EXPECT_EQ(table_.version(), 2u);
  EXPECT_EQ(table_.spec().rule().params().at("lr"), 0.1);
  EXPECT_EQ(table_.spec().non_finite().policy(), v1::NonFinite::SKIP_ROW);
  ASSERT_TRUE(catalogue_.Alter(alter, &table_).ok());  // the same again
  EXPECT_EQ(table_.version(), 2u);
}

TEST_F(CatalogueTest, RefusesARuleOfAnotherWidth) {
  ASSERT_TRUE(Create(Spec()).ok());
  v1::AlterTableRequest alter;
  alter.set_name("ads");
  alter.mutable_rule()->set_name("adagrad");
  EXPECT_CODE(kFailedPrecondition, catalogue_.Alter(alter, &table_));
  ASSERT_TRUE(catalogue_.Describe("ads", &table_).ok());
  EXPECT_EQ(table_.spec().rule().name(), "sgd");
  EXPECT_EQ(table_.version(), 1u);
}

TEST_F(CatalogueTest, ADroppedTableIsGoneAndItsIdIsNotGivenAgain) {
  ASSERT_TRUE(Create(Spec()).ok());
  ASSERT_TRUE(catalogue_.Drop("ads").ok());
  EXPECT_CODE(kNotFound, catalogue_.Describe("ads", &table_));
  EXPECT_CODE(kNotFound, catalogue_.Drop("ads"));
  ASSERT_TRUE(Create(Spec()).ok());
  EXPECT_EQ(table_.id(), 2u);
}

TEST_F(CatalogueTest, ADropThatSaysWhichTableMayBeSaidAgain) {
  ASSERT_TRUE(Create(Spec()).ok());
  const TableId id = table_.id();
  EXPECT_CODE(kNotFound, catalogue_.Drop("ads", id + 1));  // never given
  ASSERT_TRUE(catalogue_.Describe("ads", &table_).ok());
  ASSERT_TRUE(catalogue_.Drop("ads", id).ok());
  EXPECT_TRUE(catalogue_.Drop("ads", id).ok());
  // It is not of the table that has the name now.
  ASSERT_TRUE(Create(Spec()).ok());
  EXPECT_TRUE(catalogue_.Drop("ads", id).ok());
  EXPECT_TRUE(catalogue_.Describe("ads", &table_).ok());
}

TEST_F(CatalogueTest, RefusesMoreTablesThanTheLimit) {
  for (size_t i = 0; i < kTablesMax; ++i) {
    ASSERT_TRUE(Create(Spec(absl::StrCat("t", i))).ok());
  }
  EXPECT_CODE(kResourceExhausted, Create(Spec("one-more")));
  EXPECT_TRUE(Create(Spec("t0")).ok());
}

TEST_F(CatalogueTest, ComesBackFromTheStore) {
  ASSERT_TRUE(Create(Spec()).ok());
  Catalogue reloaded(5, CheckTestRule, changes_);
  ASSERT_TRUE(reloaded.LoadTable(*changes_.writes().at("tables/ads")).ok());
  ASSERT_TRUE(reloaded.ids().Load(*changes_.reservations().at("next/table")));
  v1::Table table;
  ASSERT_TRUE(reloaded.Describe("ads", &table).ok());
  EXPECT_EQ(table.SerializeAsString(), table_.SerializeAsString());
  ASSERT_TRUE(reloaded.Create(Spec("b"), &table).ok());
  EXPECT_EQ(table.id(), 2u);
  EXPECT_CODE(kDataLoss, reloaded.LoadTable("\xff"));
}

}  // namespace
}  // namespace paramo
