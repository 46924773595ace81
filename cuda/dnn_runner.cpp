#include "cuda/dnn_runner.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "cuda/alignment.h"
#include "cuda/context.h"
#include "cuda/fastest.h"
#include "tensor/error.h"

namespace sagitta::cuda {
namespace {

constexpr std::size_t kTimedPlans = 12;

// The same call with memory of its own for what is written. Operands that shared a tensor still do.
DnnCall rehearsal_of(const DnnCall& call) {
  DnnCall rehearsal = call;
  std::vector<std::pair<Tensor, Tensor>> stand_ins;
  for (DnnCall::Operand& operand : rehearsal.operands) {
    if (!operand.written) continue;
    auto stand_in = stand_ins.begin();
    while (stand_in != stand_ins.end() && !stand_in->first.same_memory(operand.tensor)) ++stand_in;
    if (stand_in == stand_ins.end())
      stand_in = stand_ins.insert(stand_in, {operand.tensor, operand.tensor.like()});
    operand.tensor = stand_in->second;
  }
  return rehearsal;
}

}  // namespace

DnnRunner::Handle::Handle(cudaStream_t stream) {
  check(cudnnCreate(&handle_));
  check(cudnnSetStream(handle_, stream));
}

DnnRunner::DnnRunner(cudaStream_t stream, const DnnOptions& options)
    : stream_(stream),
      handle_(stream),
      target_(handle_),
      cache_(options.plan_cache, fmt::format("{}, cuDNN {}", current_device_name(), cudnnGetVersion())),
      time_algorithms_(options.time_algorithms),
      silent_(!options.progress) {}

void DnnRunner::run(const Problem& problem, const EngineRules& rules, const DnnCall& call) {
  const std::string key = key_of(problem) + rules.key();
  for (const DnnCall::Operand& operand : call.operands)
    require(aligned(operand.tensor), "cudnn: memory of {} is not aligned to {} bytes", key, kAlignment);
  auto plan = plans_.find(key);
  if (plan == plans_.end()) plan = plans_.emplace(key, make(problem, rules, call, key)).first;
  execute(plan->second, call);
}

void DnnRunner::execute(const Plan& plan, const DnnCall& call) {
  std::vector<Plan::Binding> bindings;
  for (const DnnCall::Operand& operand : call.operands) {
    const auto offset = static_cast<std::size_t>(operand.offset) * size_of(operand.tensor.dtype());
    bindings.push_back({operand.uid, operand.tensor.raw() + offset});
  }
  std::vector<float> values;  // must not move while it is pointed into
  values.reserve(call.scalars.size());
  for (const DnnCall::Scalar& scalar : call.scalars)
    bindings.push_back({scalar.uid, &values.emplace_back(scalar.value)});
  // Goes back to the allocator right after enqueueing, which is in stream order.
  const Tensor workspace(call.operands.front().tensor.backend(), {plan.workspace_bytes()}, DType::u8);
  plan.execute(handle_, bindings, workspace.raw());
}

Plan DnnRunner::make(const Problem& problem, const EngineRules& rules, const DnnCall& call,
                     const std::string& key) {
  require(!is_capturing(stream_),
          "cudnn: {} is new within a captured step, where nothing can be timed; run the step once before",
          key);
  const auto graph = std::make_shared<const FinishedGraph>(problem, target_);
  if (std::optional<Plan> plan = remembered(graph, rules, key)) return std::move(*plan);
  if (time_algorithms_) announce();
  Plan plan = timed(graph, rules, call, key);
  cache_.store(key, plan.choice().text());
  return plan;
}

std::optional<Plan> DnnRunner::remembered(const std::shared_ptr<const FinishedGraph>& graph,
                                          const EngineRules& rules, const std::string& key) const try {
  const std::string* text = cache_.find(key);
  if (!text) return std::nullopt;
  EngineChoice choice = EngineChoice::from_text(*graph, *text);
  if (!choice.allowed(rules)) return std::nullopt;
  return make_plan(graph, std::move(choice));
} catch (const Error&) {  // a damaged cache: to be chosen again
  return std::nullopt;
}

Plan DnnRunner::timed(const std::shared_ptr<const FinishedGraph>& graph, const EngineRules& rules,
                      const DnnCall& call, const std::string& key) {
  std::vector<Plan> plans = make_plans(graph, rules, time_algorithms_ ? kTimedPlans : 1);
  require(!plans.empty(), "cudnn: has no algorithm for {} on this GPU", key);
  if (plans.size() == 1) return std::move(plans.front());
  const DnnCall rehearsal = rehearsal_of(call);
  const auto best = fastest(stream_, plans.size(), [&](std::size_t index) {
    execute(plans[index], rehearsal);
    return true;
  });
  return std::move(plans[best.value()]);
}

void DnnRunner::announce() {
  if (std::exchange(silent_, true)) return;
  const std::string file = cache_.file().string();
  fmt::print(stderr, "timing cuDNN's algorithms for new shapes{}\n",
             file.empty() ? "" : "; the choices are kept in " + file);
}

}  // namespace sagitta::cuda
