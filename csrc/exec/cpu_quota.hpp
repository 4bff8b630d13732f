// The share of the processors that a container gives the process.
#pragma once

#include <string>

namespace vemfast::exec {

// Processors that the quota of this process's control group amounts to, rounded up; a large number
// where there is none. `root` and `membership` are the kernel's files, replaced in tests.
int cpu_quota(const std::string& root = "/sys/fs/cgroup",
              const std::string& membership = "/proc/self/cgroup");

}  // namespace vemfast::exec
