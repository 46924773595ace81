// The autograd graph of one step as a picture: inputs at the top, the loss at the bottom, arrows in the
// direction in which gradients flow. Boxes tell the op, its layer and parameters, the shape of its output,
// and how much memory it keeps for backward; frames are blocks of layers.
#pragma once
#include <filesystem>
#include <string>

#include "apps/observe/graph_outline.h"

namespace sagitta::apps {

// The picture in Graphviz' language.
std::string dot_of(const GraphOutline& outline);

// Draws the graph behind `loss`, before backward() spends it, as .svg, .png or .pdf, which need a build with
// Graphviz, or writes the text of a .dot file. Complete or not at all.
void draw_graph(const autograd::Variable& loss, const LayerNames& names, const std::filesystem::path& file);

}  // namespace sagitta::apps
