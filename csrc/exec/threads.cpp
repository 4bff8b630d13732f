#include "exec/threads.hpp"

#include <omp.h>

#include <algorithm>

#include "exec/cpu_quota.hpp"

namespace vemfast::exec {

int processors() {
    static const int quota = cpu_quota();
    return std::max(1, std::min(omp_get_num_procs(), quota));
}

int max_threads() {
    return std::max(1, std::min(omp_get_max_threads(), processors()));
}

int openmp_version() {
    return _OPENMP;
}

}  // namespace vemfast::exec
