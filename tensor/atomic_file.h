// AtomicFile: writes a file that appears complete or not at all.
// The bytes go to a temporary file in the same directory; commit() flushes them to the disk and renames it.
// Without commit() - an exception, a crash - the file under the final name is untouched and the temporary one
// is removed or, after a crash, ignored.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace sagitta {

// What a committed file outlives. Only the first costs a flush of the disk, which matters for thousands of
// files.
enum class Durability { survives_power_loss, survives_crash };

class AtomicFile {
 public:
  // Creates the temporary file. Throws Error, naming `path`, when its directory is missing or not writable.
  explicit AtomicFile(std::filesystem::path path, Durability durability = Durability::survives_power_loss);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Makes the file visible under its name, and as durable as asked for.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  Durability durability_;
  int descriptor_ = -1;
};

// The whole content of a small file, written atomically.
void write_text_file(const std::filesystem::path& path, std::string_view text);
// The whole content of a small file. Throws Error when it is missing, not a regular file, or above `limit`
// bytes.
std::string read_text_file(const std::filesystem::path& path, std::size_t limit = 64u << 20);

}  // namespace sagitta
