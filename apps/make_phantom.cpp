// make_phantom: writes a synthetic cervical-spine CT data set, as DICOM, in the layout of the RSNA 2022
// competition.
#include "apps/engine/main_guard.h"
#include "apps/engine/progress.h"
#include "data/phantom.h"

int main(int argc, char** argv) {
  namespace data = sagitta::data;
  data::PhantomOptions options;
  std::string syntax = "varied";
  std::vector<std::string> syntaxes{syntax};
  for (const data::TransferSyntax known : data::kTransferSyntaxes)
    syntaxes.push_back(data::transfer_syntax_name(known));
  CLI::App app(
      "Writes a synthetic cervical-spine CT data set: train.csv, train_bounding_boxes.csv and\n"
      "train_images/<StudyInstanceUID>/<n>.dcm. The same options give the same bytes.",
      "make_phantom");
  app.option_defaults()->always_capture_default();
  app.add_option("--out", options.out, "Folder to create")->required()->type_name("DIR");
  app.add_option("--studies", options.studies, "Number of patients, one study each")
      ->check(CLI::Range(1, 100000));
  app.add_option("--seed", options.seed, "Seed of everything random");
  app.add_option("--size", options.scan.size, "Rows and columns of the axial images, pixels (RSNA: 512)")
      ->check(CLI::Range(64, 1024));
  app.add_option("--step-mm", options.scan.step_mm,
                 "Average distance between slices, mm; studies vary by 20 %")
      ->check(CLI::Range(0.2, 5.0));
  app.add_option("--prevalence-scale", options.prevalence_scale, "Fracture frequency relative to RSNA 2022")
      ->check(CLI::Range(0.01, 10.0));
  app.add_option("--difficulty", options.difficulty, "0 plain fractures to 1 very subtle ones")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--syntax", syntax, "Transfer syntax of all files; varied: mixed as in the real set")
      ->check(CLI::IsMember(syntaxes));
  app.add_option("--jobs", options.jobs, "Threads, 0 for one per processor")->check(CLI::Range(0, 1024));
  return sagitta::apps::run_main(app, argc, argv, [&] {
    for (const data::TransferSyntax known : data::kTransferSyntaxes)
      if (syntax == data::transfer_syntax_name(known)) options.syntax = known;
    data::PhantomSummary summary;
    {
      sagitta::apps::Progress progress("make_phantom", "studies", options.studies);
      summary = data::write_phantom(options, [&](int done) { progress.update(done); });
    }
    fmt::print("{}: {} studies ({} fractured), {} slices\n", options.out.string(), summary.studies,
               summary.fractured, summary.slices);
    return 0;
  });
}
