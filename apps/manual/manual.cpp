#include "apps/manual/manual.h"

#include <functional>
#include <map>

#include "apps/engine/build_facts.h"
#include "apps/manual/completion.h"
#include "apps/manual/man_page.h"

namespace sagitta::apps {
namespace {

using Writer = std::function<std::string(const OptionTable&)>;

const std::map<std::string, Writer>& writers() {
  static const std::map<std::string, Writer> writers{
      {"man", [](const OptionTable& table) { return man_page(table, build_facts().front().second); }},
      {"bash", bash_completion},
      {"zsh", zsh_completion},
      {"fish", fish_completion}};
  return writers;
}

}  // namespace

void add_manual_option(CLI::App& app) {
  app.add_option_function<std::string>("--manual",
                                       [&app](const std::string& form) {
                                         std::string text = writers().at(form)(option_table(app));
                                         text.pop_back();  // the line's end, which CLI11 adds
                                         throw CLI::CallForVersion(text, 0);
                                       })
      ->check(CLI::IsMember(writers()))
      ->configurable(false)
      ->group("");
}

}  // namespace sagitta::apps
