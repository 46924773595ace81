#include "apps/observe/graphviz.h"
#include "tensor/error.h"

namespace sagitta::apps {

bool has_graphviz() { return false; }

std::string render_dot(const std::string&, const std::string& format) {
  fail(
      "graph: this build cannot draw .{} files, it has no Graphviz: install libgraphviz-dev and build again, "
      "or write a .dot file",
      format);
}

}  // namespace sagitta::apps
