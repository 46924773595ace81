#include "apps/observe/nan_guard.h"

#include <algorithm>

#include "apps/observe/value_scan.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// An op that works in place has one operand twice: what it read is gone.
bool is_overwritten(const Operand& input, const BackendCall& call) {
  return std::any_of(call.operands.begin(), call.operands.end(), [&](const Operand& other) {
    return other.use == Operand::Use::written && other.tensor.same_memory(input.tensor);
  });
}

}  // namespace

NanGuard::NanGuard(ObservedBackend& backend, const LayerNames& names, const StepPhases& phases,
                   const NanGuardOptions& options)
    : backend_(backend), names_(names), places_(names, phases), options_(options) {
  backend_.attach(*this);
}

NanGuard::~NanGuard() { backend_.detach(*this); }

bool NanGuard::is_skipped(const BackendCall& call) const {
  return options_.skip_gradients && (autograd::running_node() != nullptr || call.method == "squared_norm");
}

void NanGuard::before(const BackendCall& call) {
  bad_before_.clear();
  if (is_skipped(call)) return;
  for (const Operand& operand : call.operands)
    if (operand.use == Operand::Use::updated && is_floating(operand.tensor.dtype()) &&
        !all_finite(operand.tensor, backend_.inner()))
      bad_before_.push_back(operand.name);
}

void NanGuard::after(const BackendCall& call) {
  const CallPlace place = places_.of(call);
  if (is_skipped(call)) return;
  for (const Operand& operand : call.operands)
    if (operand.use != Operand::Use::read && is_floating(operand.tensor.dtype()) &&
        !all_finite(operand.tensor, backend_.inner()))
      report(call, place, operand);
}

void NanGuard::report(const BackendCall& call, const CallPlace& place, const Operand& output) const {
  const ValueScan scan = scan_values(output.tensor, backend_.inner());
  std::string inputs, first_bad;
  const auto describe = [&](const Operand& operand, const std::string& state, bool is_bad) {
    const std::string_view parameter = names_.parameter_at(operand.tensor);
    inputs += fmt::format("{}{} {}", inputs.empty() ? "" : "; ", operand.name, state);
    if (is_bad && first_bad.empty())
      first_bad = parameter.empty() ? std::string(operand.name) : fmt::format("{}", parameter);
  };
  for (const Operand& operand : call.operands) {
    if (!is_floating(operand.tensor.dtype()) || operand.use == Operand::Use::written) continue;
    if (operand.use == Operand::Use::updated) {
      const bool was_bad = contains(bad_before_, operand.name);
      describe(operand, was_bad ? "not finite before this op" : "finite before this op", was_bad);
    } else if (is_overwritten(operand, call)) {
      describe(operand, "overwritten", false);
    } else {
      const ValueScan values = scan_values(operand.tensor, backend_.inner());
      describe(operand, values.text(), !values.is_finite());
    }
  }
  const std::string where = place.text();
  fail("NaN guard: {}{}{} gave the first value that is not finite: {} {} {} has {}, first {} at {}{}{}; {}",
       call.method, where.empty() ? "" : " at ", where, output.name, name_of(output.tensor.dtype()),
       output.tensor.shape(), scan.text(), scan.first_is_nan ? "NaN" : "Inf",
       index_text(output.tensor.shape(), scan.first), inputs.empty() ? "" : "; its inputs: ", inputs,
       advice(call, first_bad));
}

std::string NanGuard::advice(const BackendCall& call, const std::string& first_bad) const {
  if (call.method == "write" || call.method == "fill")
    return "the values came from the program: check the data and weights that are loaded";
  if (!first_bad.empty())
    return fmt::format(
        "{} was not finite already and no op of this backend made it so since the guard was "
        "attached: check the weights and data that were loaded, or attach it earlier",
        first_bad);
  return "finite values overflowed in this op, or were divided by zero: try a lower --lr, or --clip-norm 1";
}

}  // namespace sagitta::apps
