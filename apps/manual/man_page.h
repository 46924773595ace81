// A program's page for man(1), in the macros of man(7).
#pragma once
#include <string>

#include "apps/manual/option_table.h"

namespace sagitta::apps {

// The page of section 1; `version` stands in its footer.
std::string man_page(const OptionTable& table, const std::string& version);

}  // namespace sagitta::apps
