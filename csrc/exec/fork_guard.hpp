// Forking after a parallel region.
//
// GNU's OpenMP keeps its threads for the next region. A forked child inherits the record of them
// but not the threads, and waits for ever in its first region. The remedy is to let OpenMP give up
// the forking thread's idle threads just before the fork (they come back when next needed), so that
// parent and child both start afresh. Where that is not to be had, the child runs single-threaded.
#pragma once

#include "vemfast/version.hpp"

namespace vemfast::exec {

// Installs the handlers, once; called before a parallel region, so that neither importing the
// library nor working with one thread changes how a process forks.
void guard_forks();

// False in a forked child that could hang in a parallel region; notes that threads were asked for.
bool threads_allowed();

// True once in such a child, after threads were asked for and not given: time for one warning.
VEMFAST_API bool take_fork_notice();

}  // namespace vemfast::exec
