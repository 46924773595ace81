// report: a run's page, or a page that compares runs.
#include "apps/report/report.h"

#include "apps/engine/main_guard.h"

using namespace sagitta;

int main(int argc, char** argv) {
  apps::ReportOptions options;
  CLI::App app(
      "Makes report.html: curves, evaluations, examples, data and provenance of a training run as one page "
      "without\n"
      "network; or, of several runs, a page that compares them.",
      "report");
  app.add_option("runs", options.runs, "run directories")->required()->type_name("DIR");
  app.add_option("--out", options.out, "the page (default: RUN/report.html, or report.html for several runs)")
      ->type_name("FILE");
  return apps::run_main(app, argc, argv, [&] {
    if (options.out.empty())
      options.out = options.runs.size() == 1 ? options.runs.front() / "report.html" : "report.html";
    apps::write_report(options);
    fmt::print("written: {}\n", options.out.string());
    return 0;
  });
}
