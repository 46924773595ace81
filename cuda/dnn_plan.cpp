#include "cuda/dnn_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "tensor/error.h"

namespace sagitta::cuda {
namespace {

constexpr int kSuggestions = 32;  // of one mode of the heuristics
// A precompiled engine costs about a millisecond to set up, one that is compiled on the spot 0.2 to 3 s.
constexpr int kCompiledPlans = 4;
constexpr std::int64_t kLargeWorkspace = std::int64_t{1} << 30;

Descriptor engine_of(const Descriptor& configuration) {
  auto engines =
      configuration.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  return std::move(engines.at(0));
}

void suggest(const FinishedGraph& graph, cudnnBackendHeurMode_t mode, const EngineRules& rules,
             std::vector<EngineChoice>& choices) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.operations)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  graph.target.attach_to_heuristics(heuristics);
  if (heuristics.try_finalize() != CUDNN_STATUS_SUCCESS) return;  // this mode knows nothing of the graph
  for (Descriptor& configuration : heuristics.get_descriptors(
           CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, kSuggestions)) {
    EngineChoice choice(std::move(configuration));
    if (choice.allowed(rules)) choices.push_back(std::move(choice));
  }
}

}  // namespace

std::string EngineRules::key() const {
  return fmt::format("{}{}", tensor_cores ? "" : " no_tensor_cores", deterministic ? " deterministic" : "");
}

EngineChoice::EngineChoice(Descriptor configuration) : configuration_(std::move(configuration)) {}

EngineChoice EngineChoice::from_text(const FinishedGraph& graph, const std::string& text) {
  std::istringstream words(text);
  std::int64_t index = -1;
  require(static_cast<bool>(words >> index), "cudnn: engine choice is '{}', expected an engine", text);
  EngineChoice choice{Descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)};

  Descriptor& engine = choice.parts_.emplace_back(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.operations).set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, index);
  graph.target.attach_to_engine(engine);
  choice.configuration_.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine.finalize());

  std::vector<cudnnBackendDescriptor_t> knobs;
  std::int64_t type = 0, value = 0;
  for (char equals = 0; words >> type;) {
    require(words >> equals >> value && equals == '=', "cudnn: engine choice is '{}', expected knob=value",
            text);
    knobs.push_back(choice.parts_.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)
                        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type))
                        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
                        .finalize()
                        .raw());
  }
  require(words.eof(), "cudnn: engine choice is '{}', expected knob=value", text);
  choice.configuration_.set_descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, knobs).finalize();
  return choice;
}

std::string EngineChoice::text() const {
  std::string text = std::to_string(engine());
  for (const Descriptor& knob : configuration_.get_descriptors(
           CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
    text += fmt::format(" {}={}",
                        static_cast<int>(knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)),
                        knob.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  return text;
}

std::int64_t EngineChoice::engine() const {
  return engine_of(configuration_).get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
}

bool EngineChoice::has_note(cudnnBackendNumericalNote_t note) const {
  const auto notes =
      engine_of(configuration_).get_list<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

bool EngineChoice::allowed(const EngineRules& rules) const {
  // Sums in 16 bits, or inputs rounded to fewer bits than they have, are never what was asked for.
  if (has_note(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) ||
      has_note(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION))
    return false;
  if (!rules.tensor_cores && uses_tensor_cores()) return false;
  return !rules.deterministic || !has_note(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
}

bool EngineChoice::uses_tensor_cores() const { return has_note(CUDNN_NUMERICAL_NOTE_TENSOR_CORE); }

bool EngineChoice::compiled_at_run_time() const {
  const auto notes =
      engine_of(configuration_).get_list<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE);
  return std::find(notes.begin(), notes.end(), CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) != notes.end();
}

std::vector<EngineChoice> suggest(const FinishedGraph& graph, const EngineRules& rules) {
  std::vector<EngineChoice> choices;
  suggest(graph, CUDNN_HEUR_MODE_A, rules, choices);
  suggest(graph, CUDNN_HEUR_MODE_FALLBACK, rules, choices);
  return choices;
}

Plan::Plan(std::shared_ptr<const FinishedGraph> graph, EngineChoice choice, Descriptor plan)
    : graph_(std::move(graph)),
      choice_(std::move(choice)),
      plan_(std::move(plan)),
      workspace_bytes_(plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)) {}

std::optional<Plan> make_plan(std::shared_ptr<const FinishedGraph> graph, EngineChoice choice) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, choice.configuration());
  graph->target.attach_to_plan(plan);
  if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  return Plan(std::move(graph), std::move(choice), std::move(plan));
}

std::vector<Plan> make_plans(const std::shared_ptr<const FinishedGraph>& graph, const EngineRules& rules,
                             std::size_t count) {
  std::vector<Plan> plans, large;
  std::set<std::string> seen;  // the heuristics' modes repeat each other
  int compiled = 0;
  for (EngineChoice& choice : suggest(*graph, rules)) {
    if (plans.size() == count) break;
    if (!seen.insert(choice.text()).second) continue;
    if (choice.compiled_at_run_time() && compiled++ >= kCompiledPlans) continue;
    std::optional<Plan> plan = make_plan(graph, std::move(choice));
    if (!plan) continue;
    std::vector<Plan>& kind = plan->workspace_bytes() <= kLargeWorkspace ? plans : large;
    if (kind.size() < count) kind.push_back(std::move(*plan));
  }
  return plans.empty() ? std::move(large) : std::move(plans);
}

void Plan::execute(cudnnHandle_t handle, const std::vector<Binding>& bindings, void* workspace) const {
  std::vector<std::int64_t> uids;
  std::vector<void*> memory;
  for (const Binding& binding : bindings) {
    uids.push_back(binding.uid);
    memory.push_back(binding.memory);
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_list(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(uids))
      .set_pointers(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, memory)
      .set_pointers(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, std::span<void* const>(&workspace, 1))
      .finalize();
  check(cudnnBackendExecute(handle, plan_.raw(), pack.raw()));
}

}  // namespace sagitta::cuda
