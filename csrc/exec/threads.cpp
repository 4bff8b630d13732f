#include "exec/threads.hpp"

#include <omp.h>

#include <algorithm>

namespace vemfast::exec {

int max_threads() { return std::max(1, std::min(omp_get_max_threads(), omp_get_num_procs())); }

int openmp_version() { return _OPENMP; }

}  // namespace vemfast::exec
