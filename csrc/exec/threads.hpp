// How many threads a parallel region may have.
#pragma once

#include "vemfast/version.hpp"

namespace vemfast::exec {

// What OpenMP may use on the calling thread (OMP_NUM_THREADS, threadpoolctl's limits), but no more
// than the processors that the process may run on and than its share of them (a control group's
// quota, looked up once). Starts no thread.
VEMFAST_API int max_threads();

// The OpenMP standard of the compiler that built the library, as yyyymm.
VEMFAST_API int openmp_version();

}  // namespace vemfast::exec
