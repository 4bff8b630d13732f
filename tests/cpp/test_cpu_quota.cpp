// The processors that a control group leaves to the process, from files made up here.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "check.hpp"
#include "exec/cpu_quota.hpp"
#include "exec/threads.hpp"

namespace {

namespace fs = std::filesystem;
using vemfast::exec::cpu_quota;

constexpr int kNoLimit = std::numeric_limits<int>::max();

// A folder that stands in for /sys/fs/cgroup, removed at the end.
class Groups {
  public:
    Groups() {
        std::string pattern = (fs::temp_directory_path() / "vemfast-XXXXXX").string();
        root_ = mkdtemp(pattern.data());
    }
    ~Groups() { fs::remove_all(root_); }
    Groups(const Groups&) = delete;
    Groups& operator=(const Groups&) = delete;

    void write(const std::string& path, const std::string& text) const {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text;
    }
    int quota() const { return cpu_quota(root_.string(), (root_ / "membership").string()); }

  private:
    fs::path root_;
};

TEST_CASE(no_files_mean_no_limit) {
    CHECK(Groups().quota() == kNoLimit);
}

TEST_CASE(version_2_rounds_up) {
    const Groups groups;
    groups.write("cpu.max", "150000 100000\n");
    CHECK(groups.quota() == 2);
    groups.write("cpu.max", "max 100000\n");
    CHECK(groups.quota() == kNoLimit);
    groups.write("cpu.max", "1000 100000\n");
    CHECK(groups.quota() == 1);
}

TEST_CASE(version_2_takes_the_tightest_group_above) {
    const Groups groups;
    groups.write("membership", "0::/outer/inner\n");
    groups.write("outer/cpu.max", "300000 100000\n");
    groups.write("outer/inner/cpu.max", "max 100000\n");
    CHECK(groups.quota() == 3);
}

TEST_CASE(version_1_has_two_files) {
    const Groups groups;
    groups.write("cpu/cpu.cfs_period_us", "100000\n");
    groups.write("cpu/cpu.cfs_quota_us", "400000\n");
    CHECK(groups.quota() == 4);
    groups.write("cpu/cpu.cfs_quota_us", "-1\n");
    CHECK(groups.quota() == kNoLimit);
}

TEST_CASE(max_threads_is_positive) {
    CHECK(vemfast::exec::max_threads() >= 1);
}

}  // namespace
