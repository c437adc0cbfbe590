// Local steps against a real shard: contributions go through its rounds, and
// its table applies the outer rule.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "tests/unit/server/shard/shard_harness.h"
#include "worker/model/local_steps.h"

namespace paramo {
namespace {

constexpr float kStep = 0.05f;

// Example (a, c) has the loss a/2 (w - c)^2 in each element of w.
class Quadratic final : public Model {
 public:
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  double Gradients(ConstTensors parameters, const Batch& batch,
                   Tensors gradients) override {
    double loss = 0;
    for (size_t i = 0; i < kDim; ++i) {
      float sum = 0;
      for (size_t e = 0; e < batch.size; ++e) {
        const float a = batch.features[2 * e], c = batch.features[2 * e + 1];
        const float away = parameters[0][i] - c;
        sum += a * away;
        loss += a / 2 * away * away;
      }
      gradients[0][i] = sum / static_cast<float>(batch.size);
    }
    return loss / static_cast<double>(batch.size);
  }
  void Predict(ConstTensors, size_t, const float*, int32_t*) override {
    PARAMO_CHECK(false);
  }

 private:
  const std::vector<TensorInfo> tensors_ = {{"w", {kDim}}};
};

// Clients that all have `examples` times the same example (a, c).
struct Client {
  SessionId session;
  Batch batch;

  Client(SessionId s, size_t examples, float a, float c) : session(s) {
    batch.size = examples;
    batch.indices.resize(examples);
    batch.labels.resize(examples);
    for (size_t e = 0; e < examples; ++e) {
      batch.features.push_back(a);
      batch.features.push_back(c);
    }
  }
};

struct Setting {
  SyncKind sync = SyncKind::kBsp;
  std::string rule = "sgd";
  std::map<std::string, double> parameters = {{"lr", kStep}};
};

class Federation {
 public:
  explicit Federation(const Setting& setting) : h_(setting.sync) {
    h_.SetTable([&](v1::TableSpec& table) {
      table.mutable_rule()->set_name(setting.rule);
      table.mutable_rule()->clear_params();
      for (const auto& [name, value] : setting.parameters) {
        (*table.mutable_rule()->mutable_params())[name] = value;
      }
    });
    if (setting.sync == SyncKind::kRound) h_.view().jobs[0].sync.quorum = 2;
    h_.Join(0, 100);
    h_.Join(1, 101);
  }

  // Every client pulls, makes its steps of one example each, and pushes.
  void Round(std::vector<Client>& clients) {
    ++rounds_;
    std::vector<std::vector<float>> sums;
    for (Client& client : clients) {
      const auto pull = h_.Pull(At(client), {key_});
      ASSERT_TRUE(pull->done());
      sums.emplace_back(kDim);
      steps_.Run({pull->rows_out}, client.batch, kStep,
                 {absl::MakeSpan(sums.back())});
    }
    for (size_t i = 0; i < clients.size(); ++i) {
      wire::SectionHeader header = At(clients[i]);
      header.seq = rounds_;
      header.examples = static_cast<uint32_t>(clients[i].batch.size);
      header.flags = wire::kFlagEndOfClock;
      const auto push = h_.Push(header, {key_}, sums[i]);
      ASSERT_EQ(push->outcome(), wire::Outcome::kAccumulated);
    }
    ASSERT_EQ(h_.counters().rounds.Value(), rounds_);
  }

  std::vector<float> Parameters() { return h_.Row(key_); }

 private:
  wire::SectionHeader At(const Client& client) {
    wire::SectionHeader header = h_.Header();
    header.session = client.session;
    header.session_epoch = 1;
    header.clock = rounds_ - 1;
    return header;
  }

  ShardHarness h_;
  Quadratic model_;
  LocalSteps steps_{model_, /*step_examples=*/1};
  const Key key_ = KeysOf(2, 1)[0];
  uint64_t rounds_ = 0;
};

// Where the two clients of the worked example end after many rounds.
std::vector<float> EndOf(const Setting& setting, size_t local_steps) {
  std::vector<Client> clients = {{100, local_steps, 1, 0},
                                 {101, local_steps, 10, 1}};
  Federation federation(setting);
  for (int round = 0; round < 400; ++round) federation.Round(clients);
  return federation.Parameters();
}

void ExpectGolden(const Setting& setting) {
  // A step takes the distance to a client's optimum c by r = 1 - 0.05 a: 0.95
  // and 0.5. The average stands still where the two moves cancel:
  //   w = sum of (1 - r^k) c / sum of (1 - r^k)
  // k = 1 is the optimum of the sum, 10 / 11; many steps tend to the mean of
  // the clients' own optima, 1 / 2.
  for (const auto& [local_steps, golden] : std::map<size_t, float>{
           {1, 0.909091f}, {5, 0.810690f}, {20, 0.609193f}}) {
    for (const float w : EndOf(setting, local_steps)) {
      EXPECT_NEAR(w, golden, 1e-6)
          << setting.rule << ", " << local_steps << " local steps";
    }
  }
}

TEST(ModelAveraging, ConvergesToTheGoldenPointsUnderBsp) { ExpectGolden({}); }

TEST(ModelAveraging, ConvergesToTheGoldenPointsUnderRound) {
  ExpectGolden({.sync = SyncKind::kRound});
}

// Another way to the same points: there the mean contribution is 0.
TEST(ModelAveraging, ConvergesToTheGoldenPointsWithNesterovOutside) {
  ExpectGolden(
      {.rule = "nesterov", .parameters = {{"lr", kStep}, {"momentum", 0.5}}});
}

// Local models after 2 steps from 0: 0 for (1, 0), 0.75 for (10, 1).
TEST(ModelAveraging, ARoundGivesTheMeanModelByExamples) {
  std::vector<Client> clients = {{100, 2, 1, 0}, {101, 2, 10, 1}};
  Federation equal{{}};
  equal.Round(clients);
  EXPECT_NEAR(equal.Parameters()[0], 0.375, 1e-7);

  // 3 steps: 0.875. Weights 2/5 and 3/5.
  std::vector<Client> unequal = {{100, 2, 1, 0}, {101, 3, 10, 1}};
  Federation weighted{{}};
  weighted.Round(unequal);
  EXPECT_NEAR(weighted.Parameters()[0], 0.6 * 0.875, 1e-7);
}

}  // namespace
}  // namespace paramo
