// run_main: what every program's main() does around its work.
// Exit codes: 0 done, 1 the work failed (one line on stderr says why and how to repair it), 2 wrong usage.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>

#include "apps/engine/build_facts.h"
#include "apps/manual/manual.h"
#include "tensor/error.h"

namespace sagitta::apps {

// Parses the command line with `app`, then runs `work`, which returns the exit code.
inline int run_main(CLI::App& app, int argc, char** argv, const std::function<int()>& work) {
  app.set_version_flag("--version", [] { return version_text(); });
  add_manual_option(app);
  try {
    app.parse(argc, argv);
    return work();
  } catch (const CLI::ConfigError& error) {
    fmt::print(stderr, "error: {}: {}; see {} --help\n", app.get_config_ptr()->as<std::string>(),
               error.what(), app.get_name());
    return 2;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help and the like
    fmt::print(stderr, "error: {}; see {} --help\n", error.what(), app.get_name());
    return 2;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
  }
  return 1;
}

}  // namespace sagitta::apps
