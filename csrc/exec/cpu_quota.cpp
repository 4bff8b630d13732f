#include "exec/cpu_quota.hpp"

#include <algorithm>
#include <fstream>
#include <limits>

namespace vemfast::exec {

namespace {

constexpr int kNoLimit = std::numeric_limits<int>::max();

int processors(double quota, double period) {
    if (!(quota > 0) || !(period > 0)) {  // "max" does not parse, and version 1 says -1
        return kNoLimit;
    }
    const double share = quota / period;
    const int whole = static_cast<int>(std::min(share, 1e6));
    return std::max(1, whole < share ? whole + 1 : whole);
}

// Version 2: one file, "<quota or max> <period>".
int quota_v2(const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    double quota = 0;
    double period = 0;
    file >> quota >> period;
    return file ? processors(quota, period) : kNoLimit;
}

// Version 1: two files.
int quota_v1(const std::string& folder) {
    double quota = 0;
    double period = 0;
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    return processors(quota, period);
}

// The process's group in the version 2 hierarchy: the line "0::<path>".
std::string group_path(const std::string& membership) {
    std::ifstream file(membership);
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("0::", 0) == 0) {
            return line.substr(3);
        }
    }
    return "";
}

}  // namespace

int cpu_quota(const std::string& root, const std::string& membership) {
    int limit = std::min(quota_v2(root), quota_v1(root + "/cpu"));
    // A group is bound by its own quota and by those of all groups above it.
    std::string path = group_path(membership);
    while (path.size() > 1) {
        limit = std::min(limit, quota_v2(root + path));
        path.erase(path.rfind('/'));
    }
    return limit;
}

}  // namespace vemfast::exec
