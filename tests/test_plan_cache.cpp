// The file that remembers choices: kept between runs, shared between processes, never the cause of an error.
#include <doctest/doctest.h>

#include <cstdlib>

#include "cuda/plan_cache.h"
#include "temp_folder.h"

using namespace sagitta;
using namespace sagitta::cuda;
using sagitta::testing::read_bytes;
using sagitta::testing::TempFolder;
using sagitta::testing::write_bytes;

namespace {

constexpr const char* kGpu = "NVIDIA H100 80GB HBM3, cuDNN 91900";

std::string found(const PlanCache& cache, const std::string& key) {
  const std::string* choice = cache.find(key);
  return choice ? *choice : "none";
}

}  // namespace

TEST_CASE("plan cache: a choice is found again in a later run, and only for the same GPU and version") {
  const TempFolder folder;
  PlanCache cache(folder / "not/there/yet", kGpu);
  CHECK(found(cache, "conv a") == "none");
  cache.store("conv a", "62 2=5 14=-1");
  cache.store("conv b", "0");
  cache.store("conv b", "1");
  CHECK(found(cache, "conv b") == "1");

  const PlanCache later(folder / "not/there/yet", kGpu);
  CHECK(found(later, "conv a") == "62 2=5 14=-1");
  CHECK(found(later, "conv b") == "1");
  CHECK(found(later, "conv") == "none");
  CHECK(found(PlanCache(folder / "not/there/yet", "NVIDIA H100 80GB HBM3, cuDNN 92000"), "conv a") == "none");
}

TEST_CASE("plan cache: two processes add to one file") {
  const TempFolder folder;
  PlanCache first(folder.path(), kGpu), second(folder.path(), kGpu);
  first.store("a", "1");
  second.store("b", "2");
  first.store("c", "3");
  const PlanCache later(folder.path(), kGpu);
  CHECK(found(later, "a") == "1");
  CHECK(found(later, "b") == "2");
  CHECK(found(later, "c") == "3");
}

TEST_CASE("plan cache: a foreign or damaged file is ignored and written anew") {
  const TempFolder folder;
  const std::filesystem::path file = PlanCache(folder.path(), kGpu).file();
  SUBCASE("foreign") { write_bytes(file, "sagitta plans 1: another GPU\na\t1\n"); }
  SUBCASE("older format") { write_bytes(file, std::string("sagitta plans 0: ") + kGpu + "\na\t1\n"); }
  SUBCASE("binary") { write_bytes(file, std::string("\0\xff\n\n\t\t\n", 7)); }
  SUBCASE("empty") { write_bytes(file, ""); }
  SUBCASE("a folder") { std::filesystem::create_directory(file); }
  PlanCache cache(folder.path(), kGpu);
  CHECK(found(cache, "a") == "none");
  cache.store("a", "2");
  CHECK(found(cache, "a") == "2");
  if (!std::filesystem::is_directory(file)) CHECK(found(PlanCache(folder.path(), kGpu), "a") == "2");
}

TEST_CASE("plan cache: of a file cut short at any byte the whole lines count") {
  const TempFolder folder;
  const std::filesystem::path file = PlanCache(folder.path(), kGpu).file();
  PlanCache(folder.path(), kGpu).store("a", "11");
  PlanCache(folder.path(), kGpu).store("b", "22");
  const std::string whole = read_bytes(file);
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    CAPTURE(length);
    write_bytes(file, whole.substr(0, length));
    const PlanCache cache(folder.path(), kGpu);
    CHECK(found(cache, "a") == (length >= whole.find("\nb") + 1 ? "11" : "none"));
    CHECK(found(cache, "b") == (length == whole.size() ? "22" : "none"));
  }
}

TEST_CASE("plan cache: without a usable folder choices are kept in memory") {
  const TempFolder folder;
  write_bytes(folder / "file", "");
  for (const std::filesystem::path& place : {std::filesystem::path(), folder / "file/below"}) {
    PlanCache cache(place, kGpu);
    cache.store("a", "1");
    CHECK(found(cache, "a") == "1");
  }
}

TEST_CASE("plan cache: the user's cache folder is the one of the XDG specification") {
  setenv("HOME", "/home/someone", 1);
  setenv("XDG_CACHE_HOME", "/elsewhere", 1);
  CHECK(user_cache_directory() == "/elsewhere/sagitta");
  setenv("XDG_CACHE_HOME", "relative", 1);  // to be ignored, says the specification
  CHECK(user_cache_directory() == "/home/someone/.cache/sagitta");
  unsetenv("XDG_CACHE_HOME");
  CHECK(user_cache_directory() == "/home/someone/.cache/sagitta");
  unsetenv("HOME");
  CHECK(user_cache_directory().empty());
}
