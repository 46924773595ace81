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

// What batch norm keeps beside its result. Training writes it and reads it nowhere.
bool is_statistic(const Operand& operand) {
  return operand.name == "running_mean" || operand.name == "running_var";
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
  if (const Operand* output = bad_output(call)) report(call, place, *output);
}

// Results come before statistics, whose squares overflow in the same op; a statistic that was not finite
// already is no news: what made it so was another step.
const Operand* NanGuard::bad_output(const BackendCall& call) const {
  for (const bool statistics : {false, true})
    for (const Operand& operand : call.operands) {
      if (operand.use == Operand::Use::read || !is_floating(operand.tensor.dtype())) continue;
      if (is_statistic(operand) != statistics || (statistics && contains(bad_before_, operand.name)))
        continue;
      if (!all_finite(operand.tensor, backend_.inner())) return &operand;
    }
  return nullptr;
}

void NanGuard::report(const BackendCall& call, const CallPlace& place, const Operand& output) const {
  std::string inputs, first_bad;
  const auto describe = [&](const Operand& operand, const std::string& values) {
    inputs += fmt::format("{}{} {}", inputs.empty() ? ", from " : ", ", operand.name, values);
  };
  const auto is_bad = [&](const Operand& operand) {
    const std::string_view parameter = names_.parameter_at(operand.tensor);
    if (first_bad.empty()) first_bad = parameter.empty() ? operand.name : parameter;
  };
  for (const Operand& operand : call.operands) {
    if (!is_floating(operand.tensor.dtype()) || operand.use == Operand::Use::written) continue;
    if (operand.use == Operand::Use::updated) {
      if (!contains(bad_before_, operand.name)) continue;
      describe(operand, "not finite before");
      if (!is_statistic(operand)) is_bad(operand);
    } else if (is_overwritten(operand, call)) {
      describe(operand, "overwritten");
    } else {
      const ValueScan values = scan_values(operand.tensor, backend_.inner());
      describe(operand, values.text());
      if (!values.is_finite()) is_bad(operand);
    }
  }
  const std::string where = place.text();
  fail("NaN guard: {}{}{} gave the first NaN or Inf: {} in {} ({}){}; {}", call.method,
       where.empty() ? "" : " at ", where, scan_values(output.tensor, backend_.inner()).text(), output.name,
       name_of(output.tensor.dtype()), inputs, advice(call, first_bad));
}

std::string NanGuard::advice(const BackendCall& call, const std::string& first_bad) const {
  if (call.method == "write" || call.method == "fill")
    return "the program gave it: check the data and weights that are loaded";
  if (!first_bad.empty())
    return fmt::format("{} was so before: check what is loaded, or try a lower --lr", first_bad);
  return "finite values overflowed: try a lower --lr or --clip-norm";
}

}  // namespace sagitta::apps
