// Man page and completions of a program whose options hold everything that could break them.
#include <doctest/doctest.h>

#include <CLI/CLI.hpp>

#include "apps/engine/main_guard.h"
#include "apps/manual/completion.h"
#include "apps/manual/man_page.h"
#include "tests/command.h"

using namespace sagitta::apps;

namespace {

struct Program {
  Program() {
    app.add_option("-s,--size", size, "side [pixels]")->check(CLI::Range(1, 9))->capture_default_str();
    app.add_option("--mode", mode, ".dot at the start, a \\backslash and the user's quote")
        ->check(CLI::IsMember(std::vector<std::string>{"fast", "exact"}))
        ->group("How");
    app.add_option("--parts", parts, "several")
        ->delimiter(',')
        ->check(CLI::IsMember(std::vector<std::string>{"C1", "C2"}));
    app.add_option("--folder", folder, "where")->type_name("DIR")->required();
    app.add_flag("--quiet", quiet, "less");
    app.add_option("runs", runs, "what to read")->required();
    app.add_option("--secret", mode, "not for users")->group("");
  }
  int size = 3;
  bool quiet = false;
  std::string mode, folder;
  std::vector<std::string> parts, runs;
  CLI::App app{"Does it: in two lines,\nthis is the second.", "tool"};
};

bool contains(const std::string& text, const std::string& part) {
  CAPTURE(text);
  CAPTURE(part);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("the option table is what --help shows") {
  const Program program;
  const OptionTable table = option_table(program.app);
  CHECK(table.program == "tool");
  std::vector<std::string> names;
  for (const OptionEntry& option : table.options) names.push_back(main_name(option));
  CHECK(names ==
        std::vector<std::string>{"--help", "--size", "--parts", "--folder", "--quiet", "runs", "--mode"});
  const OptionEntry& size = table.options[1];
  CHECK(size.names == std::vector<std::string>{"-s", "--size"});
  CHECK(size.value == "INT");
  CHECK(size.bounds == "[1 - 9]");
  CHECK(size.preset == "3");
  CHECK(table.options[2].choices == std::vector<std::string>{"C1", "C2"});
  CHECK(table.options[2].comma_separated);
  CHECK(value_kind(table.options[3]) == ValueKind::directory);
  CHECK_FALSE(table.options[4].takes_value);
  CHECK(table.options[5].names.empty());
  CHECK(table.options[5].repeated);
  CHECK(table.options[6].group == "How");
}

TEST_CASE("man page: names, bounds, choices, and text that roff would misread") {
  const Program program;
  const std::string page = man_page(option_table(program.app), "1.2");
  contains(page, ".TH tool 1 \"\" \"Sagitta 1.2\"");
  contains(page, ".SH NAME\ntool \\- Does it\n");
  contains(page, "\\fBtool\\fR \\fB\\-\\-folder\\fR \\fIDIR\\fR [options] \\fIruns\\fR ...\n");
  contains(page,
           ".TP\n\\fB\\-s\\fR, \\fB\\-\\-size\\fR \\fIINT\\fR\nside [pixels]\n.br\nRange: [1 \\- "
           "9]\n.br\nDefault: 3\n");
  contains(page, ".SS How\n.TP\n\\fB\\-\\-mode\\fR \\fITEXT\\fR\n\\&.dot at the start, a \\ebackslash");
  contains(page, "One of: fast, exact");
  contains(page, ".SH EXIT STATUS\n");
  CHECK(page.find("secret") == std::string::npos);
}

TEST_CASE("completions: choices, lists, folders, numbers, quotes") {
  const Program program;
  const OptionTable table = option_table(program.app);
  const std::string bash = bash_completion(table), zsh = zsh_completion(table), fish = fish_completion(table);
  contains(bash, "    -s | --size) ;;\n");
  contains(bash, "    --mode) words='fast exact' ;;\n");
  contains(bash, "    --parts) words='C1 C2' begun=");
  contains(bash, "    --folder) paths=-d ;;\n");
  contains(bash, "$current == -*");  // elsewhere stands a positional argument
  contains(zsh, "'(-s --size)'{-s+,--size=}'[side \\[pixels\\]]:INT: '");
  contains(zsh, "the user'\\''s quote]:TEXT:(fast exact)'");
  contains(zsh, "'*:runs:_files'");
  contains(fish, "complete -c tool -s s -l size -x -d 'side [pixels]'\n");
  contains(fish,
           " -l mode -x -a 'fast exact' -d '.dot at the start, a \\\\backslash and the user\\'s quote'\n");
  for (const std::string& text : {bash, zsh, fish}) CHECK(text.find("secret") == std::string::npos);
}

TEST_CASE("--manual prints and ends before anything is required") {
  using sagitta::testing::run_command;
  const std::string program = std::string(SAGITTA_BIN_DIR) + "/evaluate";
  const auto manual = run_command(program + " --manual man");
  CHECK(manual.exit_code == 0);
  CHECK(manual.output.starts_with(".TH evaluate 1"));
  CHECK(manual.output.ends_with("does not take.\n"));
  CHECK(run_command(program + " --manual").exit_code == 2);
  CHECK(run_command(program + " --manual pdf").exit_code == 2);
  CHECK(run_command(program + " --help").output.find("--manual") == std::string::npos);
}
