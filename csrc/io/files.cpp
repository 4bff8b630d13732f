#include "io/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <system_error>
#include <utility>

#include "vemfast/model_file.hpp"

namespace vemfast::io {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".vemfast-tmp";
constexpr std::size_t kLongestStem = 200;  // bytes of the target's name kept, of 255 in a name

[[noreturn]] void fail(const std::string& path, int error = errno) {
    throw std::system_error(error, std::generic_category(), path);
}

class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor() {
        if (number_ >= 0)
            ::close(number_);
    }
    int get() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }

  private:
    int number_;
};

Descriptor open_file(const std::string& path, int flags) {
    return Descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0666));
}

void write_all(int file, std::string_view content, const std::string& path) {
    while (!content.empty()) {
        const auto written = ::write(file, content.data(), content.size());
        if (written < 0 && errno != EINTR)
            fail(path);
        content.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
}

std::string stem(const fs::path& target) {
    std::string out(1, '.');
    return out.append(target.filename().string(), 0, kLongestStem).append(1, '.');
}

bool is_temporary(const std::string& name, const std::string& begin) {
    return name.size() == begin.size() + 8 + kSuffix.size() && name.starts_with(begin) &&
           name.ends_with(kSuffix) &&
           name.find_first_not_of("0123456789abcdef", begin.size()) == begin.size() + 8;
}

// Removes temporary files of the target that no process holds.
void remove_stale(const fs::path& target) {
    std::error_code error;
    const std::string begin = stem(target);
    for (fs::directory_iterator at(target.parent_path(), error), end; !error && at != end;
         at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (!is_temporary(name, begin))
            continue;
        const Descriptor file = open_file(at->path().string(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
        if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0)
            ::unlink(at->path().c_str());
    }
}

// A new temporary file, locked for as long as it is open, and its path.
std::pair<Descriptor, std::string> create(const fs::path& target) {
    std::random_device random;
    for (;;) {
        std::array<char, 9> number{};
        std::snprintf(number.data(), number.size(), "%08x", static_cast<unsigned>(random()));
        const std::string path =
            (target.parent_path() / stem(target).append(number.data()).append(kSuffix)).string();
        Descriptor file = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
        if (!file && errno == EEXIST)
            continue;
        if (!file)
            fail(target.string());
        struct stat status{};
        // Without a link: another process took it for stale before it was locked.
        if (::flock(file.get(), LOCK_EX) != 0 || ::fstat(file.get(), &status) != 0 ||
            status.st_nlink > 0)
            return {std::move(file), path};
    }
}

// Makes the new name last through a crash of the machine.
void sync_directory(const fs::path& directory) {
    const Descriptor file = open_file(directory.string(), O_RDONLY);
    if (file && ::fsync(file.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
        fail(directory.string());
}

fs::path real_path(const std::string& path) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(fs::absolute(path), error);
    return error ? fs::absolute(path) : real;
}

}  // namespace

std::string read_file(const std::string& path) {
    // A pipe without a writer must not be waited for.
    const Descriptor file = open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0)
        fail(path);
    if (S_ISDIR(status.st_mode))
        fail(path, EISDIR);
    if (!S_ISREG(status.st_mode))
        throw ModelFileError("not a regular file");
    std::string content(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t size = 0;
    while (size < content.size()) {
        const auto n = ::read(file.get(), content.data() + size, content.size() - size);
        if (n < 0 && errno != EINTR)
            fail(path);
        if (n == 0)
            break;
        size += n < 0 ? 0 : static_cast<std::size_t>(n);
    }
    content.resize(size);
    return content;
}

void write_file(const std::string& path, std::string_view content) {
    const fs::path target = real_path(path);
    struct stat old{};
    const bool exists = ::stat(target.c_str(), &old) == 0;
    if (exists && S_ISDIR(old.st_mode))
        fail(path, EISDIR);
    if (exists && ::access(target.c_str(), W_OK) != 0)
        fail(path);
    if (exists && !S_ISREG(old.st_mode)) {
        const Descriptor file = open_file(target.string(), O_WRONLY);
        if (!file)
            fail(path);
        write_all(file.get(), content, path);
        return;
    }
    remove_stale(target);
    const auto [file, temporary] = create(target);
    try {
        write_all(file.get(), content, path);
        if ((exists && ::fchmod(file.get(), old.st_mode & 07777) != 0) ||
            ::fsync(file.get()) != 0 || ::rename(temporary.c_str(), target.c_str()) != 0)
            fail(path);
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
    sync_directory(target.parent_path());
}

}  // namespace vemfast::io
