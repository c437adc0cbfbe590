// Adam: Kingma and Ba 2015, Alg. 1, with t counted per row: a sparse row's
// bias correction depends on its own updates, not on the job's clock.
//   m' = beta1 m + (1 - beta1) g
//   v' = beta2 v + (1 - beta2) g^2
//   w' = w - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + eps)
#include "server/rule/adam_kernel.h"
#include "server/rule/registry.h"

namespace paramo {

RuleEntry AdamEntry() {
  RuleInfo info{
      .name = "adam",
      .help =
          "m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2; "
          "w' = w - lr / (1 - beta1^t) m' / (sqrt(v' / (1 - beta2^t)) + "
          "eps); t counts the row's steps",
      .slots = {{"mean"}, {"mean_square"}},
      .params = {
          LearningRate(0.001),
          KeptShare("beta1", 0.9, "share of the mean that is kept"),
          KeptShare("beta2", 0.999, "share of the mean square that is kept"),
          Epsilon(1e-8)}};
  return {std::move(info),
          [](const RuleInfo& info,
             const RuleParamValues& values) -> std::unique_ptr<Rule> {
            const AdamKernel adam{.lr = values.at("lr"),
                                  .beta1 = values.at("beta1"),
                                  .beta2 = values.at("beta2"),
                                  .eps = values.at("eps"),
                                  .decay = 0};
            return std::make_unique<ElementwiseRule<AdamKernel>>(info, adam);
          }};
}

}  // namespace paramo
