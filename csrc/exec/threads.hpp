// How many threads a parallel region may have.
#pragma once

#include "vemfast/version.hpp"

namespace vemfast::exec {

// The processors that the process may run on, but no more than its share of them (a control group's
// quota, looked up once).
int processors();

// What OpenMP may use on the calling thread (OMP_NUM_THREADS, threadpoolctl's limits), but no more
// than processors(). Starts no thread.
VEMFAST_API int max_threads();

// The OpenMP standard of the compiler that built the library, as yyyymm.
VEMFAST_API int openmp_version();

}  // namespace vemfast::exec
