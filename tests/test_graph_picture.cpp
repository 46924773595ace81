// The picture of the autograd graph: all ops and parameters are there, equal blocks once, and what is kept.
#include <doctest/doctest.h>

#include <set>

#include "apps/observe/graph_picture.h"
#include "apps/observe/graphviz.h"
#include "autograd/ops.h"
#include "models/classifier.h"
#include "models/shape_backend.h"
#include "observed_training.h"
#include "temp_folder.h"

// Graphviz, and the libraries that it draws letters with, keep some memory to the end of the process.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libgvc\nleak:libgvplugin\nleak:libcgraph\nleak:libfontconfig\nleak:libglib\nleak:"
         "libpango\nleak:libcairo\n";
}

using namespace sagitta;
using namespace sagitta::test;
using apps::GraphOutline;
using testing::TempFolder;

namespace {

// A model, with the graph of one step behind its loss.
struct ModelGraph {
  ModelGraph(const std::string& arch, std::int64_t side, DType dtype = DType::f32)
      : context(backend, dtype),
        model(models::make_classifier(models::config_for(arch), context)),
        names(*model) {
    const Tensor pixels(backend, {2, side, side, 3}, dtype);
    const autograd::Variable logits = autograd::cast(model->logits(autograd::Variable(pixels)), DType::f32);
    loss = autograd::bce_with_logits(logits, Tensor(backend, logits.shape(), DType::f32));
    outline = apps::outline_of(loss, names);
  }

  int count(const std::string& op, bool only_shown = false) const {
    return static_cast<int>(std::count_if(
        outline.ops.begin(), outline.ops.end(),
        [&](const GraphOutline::Op& each) { return each.name == op && (each.is_shown || !only_shown); }));
  }
  std::multiset<std::string> parameters() const {
    std::multiset<std::string> found;
    for (const GraphOutline::Op& op : outline.ops)
      for (const GraphOutline::Parameter& parameter : op.parameters)
        found.insert(nn::join_name(op.layer, parameter.name));
    return found;
  }
  std::multiset<std::string> expected_parameters() const {
    std::multiset<std::string> expected;
    for (const nn::NamedParameter& named : model->named_parameters()) expected.insert(named.name);
    return expected;
  }
  // "name x copies" of all blocks that are shown.
  std::vector<std::string> blocks() const {
    std::vector<std::string> found;
    for (const GraphOutline::Block& block : outline.blocks)
      if (block.is_shown) found.push_back(fmt::format("{} x{}", block.name, block.copies));
    return found;
  }

  models::ShapeBackend backend;
  nn::Context context;
  std::unique_ptr<models::ImageClassifier> model;
  apps::LayerNames names;
  autograd::Variable loss;
  GraphOutline outline;
};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

struct Weight : nn::Module {
  explicit Weight(const nn::Context& context) : weight(this, "layer.weight", context, {3, 2}, {}) {}
  nn::Parameter weight;
};

}  // namespace

TEST_CASE("a small graph: ops, edges, and what is kept once") {
  const nn::Context context(cpu_backend());
  const Weight model(context);
  const apps::LayerNames names(model);
  const autograd::Variable x = autograd::leaf(full(cpu_backend(), {4, 3}, DType::f32, 1));
  const autograd::Variable y = autograd::matmul({}, x, model.weight);
  const autograd::Variable z = autograd::sum(autograd::add(autograd::square(y), autograd::square(y)));
  const GraphOutline outline = apps::outline_of(z, names);
  REQUIRE(outline.ops.size() == 5);
  CHECK(outline.ops[0].name == "Matmul");
  CHECK(outline.ops[0].layer == "layer");
  CHECK(outline.ops[0].parameters == std::vector<GraphOutline::Parameter>{{"weight", {3, 2}}});
  CHECK(outline.ops[0].shape == Shape{4, 2});
  CHECK(outline.ops[0].kept_bytes == 48);  // x; the weight is there anyway
  CHECK(outline.ops[1].kept_bytes == 32);  // y, which both squares save
  CHECK(outline.ops[2].kept_bytes == 0);
  CHECK(outline.ops[4].name == "Sum");
  CHECK(outline.kept_bytes() == 80);
  CHECK(outline.edges ==
        std::vector<std::pair<std::size_t, std::size_t>>{{1, 0}, {2, 0}, {3, 1}, {3, 2}, {4, 3}});
  CHECK_THROWS_WITH_AS(apps::outline_of(z.detach(), names),
                       "graph: the loss depends on nothing that wants a gradient", Error);
}

TEST_CASE("ResNet-50 has all its ops and parameters, and its equal blocks once") {
  const ModelGraph graph("resnet-50", 64);
  CHECK(graph.count("Conv2d") == 53);
  CHECK(graph.count("BatchNorm") == 53);
  CHECK(graph.count("Conv2d", true) == 1 + 4 * (4 + 3));
  CHECK(graph.parameters() == graph.expected_parameters());
  CHECK(graph.blocks() == std::vector<std::string>{
                              "resnet.encoder.stages.0 x1", "resnet.encoder.stages.0.layers.0 x1",
                              "resnet.encoder.stages.0.layers.1 x2", "resnet.encoder.stages.1 x1",
                              "resnet.encoder.stages.1.layers.0 x1", "resnet.encoder.stages.1.layers.1 x3",
                              "resnet.encoder.stages.2 x1", "resnet.encoder.stages.2.layers.0 x1",
                              "resnet.encoder.stages.2.layers.1 x5", "resnet.encoder.stages.3 x1",
                              "resnet.encoder.stages.3.layers.0 x1", "resnet.encoder.stages.3.layers.1 x2"});
  // The first convolution gets its gradient at last; every op but the loss gives its to somebody.
  std::set<std::size_t> users, inputs;
  for (const auto& [op, input] : graph.outline.edges) {
    CHECK(input < op);
    CHECK(graph.outline.ops[op].is_shown);
    CHECK(graph.outline.ops[input].is_shown);
    users.insert(op);
    inputs.insert(input);
  }
  for (std::size_t i = 0; i < graph.outline.ops.size(); ++i) {
    if (!graph.outline.ops[i].is_shown) continue;
    CAPTURE(i);
    CHECK(users.contains(i) == (i > 0));
    // The end of a run of equal blocks is one of those that the first block stands for.
    CHECK(inputs.contains(i) == (i + 1 < graph.outline.ops.size()));
  }
}

TEST_CASE("a ViT's equal layers are one block, in 32 and in 16 bits") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    CAPTURE(name_of(dtype));
    const ModelGraph graph("vit-tiny-patch16-64", 64, dtype);
    CHECK(graph.parameters() == graph.expected_parameters());
    CHECK(graph.blocks() == std::vector<std::string>{"vit.encoder.layer.0 x1", "vit.encoder.layer.1 x11"});
    CHECK(graph.count("Linear") == 4 * 12 + 1);
    CHECK(graph.count("Linear", true) == 4 * 2 + 1);
    CHECK(graph.count("Attention", true) == 2);
    CHECK(graph.count("Cast") ==
          (dtype == DType::f32 ? 0 : 1));  // of the logits; those of parameters are part of them
    for (const GraphOutline::Op& op : graph.outline.ops)
      if (op.name == "Attention") CHECK(op.layer.ends_with(".attention"));
  }
}

TEST_CASE("what the graph keeps is what it costs in memory") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    ObservedTraining observed(training_case, cpu_backend());
    const std::size_t before = cpu_backend().memory_use().in_use;
    const autograd::Variable loss = observed.training.forward();
    const auto cost = static_cast<double>(cpu_backend().memory_use().in_use - before);
    // The pixels are kept too, but were there before.
    const double kept = static_cast<double>(apps::outline_of(loss, observed.names).kept_bytes() -
                                            observed.training.pixels().bytes());
    CHECK(kept == doctest::Approx(cost).epsilon(0.02));
  }
}

TEST_CASE("pictures are drawn with every shown op and edge") {
  const TempFolder folder;
  const ModelGraph graph("vit-tiny-patch16-64", 64);
  const std::size_t shown =
      static_cast<std::size_t>(std::count_if(graph.outline.ops.begin(), graph.outline.ops.end(),
                                             [](const GraphOutline::Op& op) { return op.is_shown; }));
  apps::draw_graph(graph.loss, graph.names, folder / "graph.dot");
  const std::string dot = testing::read_bytes(folder / "graph.dot");
  CHECK(dot.starts_with("digraph"));
  CHECK(count(dot, "fillcolor=") == shown);
  CHECK(count(dot, " -> ") == graph.outline.edges.size());
  CHECK(count(dot, "vit.encoder.layer.1 to 11: 11 equal blocks") == 1);
  CHECK_THROWS_WITH_AS(apps::draw_graph(graph.loss, graph.names, folder / "graph.gif"),
                       doctest::Contains("is to be named .svg, .png, .pdf or .dot"), Error);
  if (!apps::has_graphviz()) {
    CHECK_THROWS_WITH_AS(apps::draw_graph(graph.loss, graph.names, folder / "graph.svg"),
                         doctest::Contains("install libgraphviz-dev"), Error);
    CHECK_FALSE(std::filesystem::exists(folder / "graph.svg"));
    return;
  }
  apps::draw_graph(graph.loss, graph.names, folder / "graph.svg");
  const std::string svg = testing::read_bytes(folder / "graph.svg");
  CHECK(count(svg, "class=\"node\"") == shown);
  CHECK(count(svg, "class=\"edge\"") == graph.outline.edges.size());
  CHECK(count(svg, "class=\"cluster\"") == 2);
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("attention.output.dense") != std::string::npos);
  CHECK_THROWS_WITH_AS(apps::render_dot("digraph {", "svg"), doctest::Contains("Graphviz cannot read"),
                       Error);
  CHECK_THROWS_WITH_AS(apps::render_dot("digraph {}", "nonsense"),
                       doctest::Contains("Graphviz cannot write nonsense"), Error);
  // Drawing spends nothing.
  CHECK_NOTHROW(autograd::backward(graph.loss));
}
