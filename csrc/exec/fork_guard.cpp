#include "exec/fork_guard.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <mutex>

namespace vemfast::exec {

namespace {

using PauseAll = int (*)(int);

std::atomic<bool> threads_lost = false;    // a region with threads could hang in this process
std::atomic<bool> notice_pending = false;  // and somebody has asked for threads in it
thread_local bool pause_failed = false;    // of the fork that this thread has under way
PauseAll pause_all = nullptr;

void* find_symbol(const char* name) {
    return dlsym(RTLD_DEFAULT, name);
}

// Where the library that defines a symbol is loaded; null for no symbol.
const void* library_of(const void* symbol) {
    Dl_info info;
    return symbol != nullptr && dladdr(symbol, &info) != 0 ? info.dli_fbase : nullptr;
}

// Whether our regions run on LLVM's or Intel's OpenMP, which may stand in for GNU's under the same
// names. Those have fork handlers of their own, and their pause is about the threads of everybody.
// A process can have several: the question is about the one that holds our entry point.
bool handles_forks_itself(const void* runtime) {
    return runtime == nullptr || library_of(find_symbol("__kmpc_fork_call")) == runtime;
}

// The pause fails inside a region of the forking thread. Regions of other threads do not matter:
// each thread has a pool of its own, and theirs is nothing to the child.
void before_fork() {
    constexpr int kPauseHard = 2;  // omp_pause_hard
    pause_failed = pause_all == nullptr || pause_all(kPauseHard) != 0;
}

void in_child() {
    if (pause_failed) {
        threads_lost.store(true);
    }
}

void install() {
    const void* runtime = library_of(find_symbol("GOMP_parallel"));
    if (handles_forks_itself(runtime)) {
        return;
    }
    // Looked up and not linked: the OpenMP that the process has loaded may be older than ours.
    void* pause = find_symbol("omp_pause_resource_all");
    if (library_of(pause) == runtime) {
        pause_all = reinterpret_cast<PauseAll>(pause);
    }
    pthread_atfork(before_fork, nullptr, in_child);
}

}  // namespace

void guard_forks() {
    static std::once_flag installed;
    std::call_once(installed, install);
}

bool threads_allowed() {
    if (!threads_lost.load(std::memory_order_relaxed)) [[likely]] {
        return true;
    }
    static std::atomic<bool> noted = false;
    if (!noted.exchange(true)) {
        notice_pending.store(true);
    }
    return false;
}

bool take_fork_notice() {
    return notice_pending.load(std::memory_order_relaxed) && notice_pending.exchange(false);
}

}  // namespace vemfast::exec
