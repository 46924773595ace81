#include "tensor/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "tensor/error.h"

namespace sagitta {
namespace {

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // the rename itself succeeded; some file systems refuse to open directories
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path, Durability durability)
    : path_(std::move(path)), temporary_(path_.string() + ".partial"), durability_(durability) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  require(descriptor_ >= 0, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
  // The name is fixed, so that what a crash leaves is overwritten next time; the lock keeps two writers
  // apart.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 || ::ftruncate(descriptor_, 0) != 0) {
    ::close(descriptor_);
    fail("{}: cannot be written: another process is writing it", path_.string());
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    require(count >= 0, "{}: writing failed: {}", path_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit() {
  const bool flush = durability_ == Durability::survives_power_loss;
  require(!flush || ::fsync(descriptor_) == 0, "{}: writing failed: {}", path_.string(),
          std::strerror(errno));
  require(::rename(temporary_.c_str(), path_.c_str()) == 0, "{}: cannot be replaced: {}", path_.string(),
          std::strerror(errno));
  ::close(std::exchange(descriptor_, -1));
  if (!flush) return;
  const std::filesystem::path directory = path_.parent_path();
  sync_directory(directory.empty() ? "." : directory);
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_text_file(const std::filesystem::path& path, std::size_t limit) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  require(std::filesystem::exists(status), "{}: no such file", path.string());
  require(std::filesystem::is_regular_file(status), "{}: not a regular file", path.string());
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  require(!error, "{}: cannot be read: {}", path.string(), error.message());
  require(size <= limit, "{}: {} bytes, expected at most {}", path.string(), size, limit);
  std::ifstream stream(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(size), '\0');
  stream.read(text.data(), static_cast<std::streamsize>(size));
  require(stream.good() || size == 0, "{}: cannot be read", path.string());
  return text;
}

}  // namespace sagitta
