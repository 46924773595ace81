// Graphviz as a library: places the boxes of a graph and draws them. Optional; a build without it says so.
#pragma once
#include <string>

namespace sagitta::apps {

bool has_graphviz();

// The file's bytes for a graph in the dot language; `format` is "svg", "png" or "pdf". Throws Error, with
// what to install, in a build without Graphviz.
std::string render_dot(const std::string& dot, const std::string& format);

}  // namespace sagitta::apps
