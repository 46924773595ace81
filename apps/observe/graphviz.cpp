#include "apps/observe/graphviz.h"

#include <graphviz/gvc.h>

#include <cstdlib>
#include <memory>

#include "tensor/error.h"

namespace sagitta::apps {
namespace {

std::string last_error() {
  const std::unique_ptr<char, void (*)(void*)> text(aglasterr(), std::free);
  return text ? text.get() : "no reason given";
}

}  // namespace

bool has_graphviz() { return true; }

std::string render_dot(const std::string& dot, const std::string& format) {
  const std::unique_ptr<GVC_t, int (*)(GVC_t*)> context(gvContext(), gvFreeContext);
  const std::unique_ptr<Agraph_t, int (*)(Agraph_t*)> graph(agmemread(dot.c_str()), agclose);
  require(graph != nullptr, "graph: Graphviz cannot read what it is given: {}", last_error());
  require(gvLayout(context.get(), graph.get(), "dot") == 0, "graph: Graphviz finds no layout: {}",
          last_error());
  char* bytes = nullptr;
  unsigned size = 0;
  const int status = gvRenderData(context.get(), graph.get(), format.c_str(), &bytes, &size);
  gvFreeLayout(context.get(), graph.get());
  require(status == 0 && bytes != nullptr, "graph: Graphviz cannot write {}: {}", format, last_error());
  const std::string result(bytes, size);
  gvFreeRenderData(bytes);
  return result;
}

}  // namespace sagitta::apps
