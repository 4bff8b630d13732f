// One pass of a kernel over all rows: cut into leaves of a fixed size, shared among threads, each
// thread with a workspace of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "exec/memory.hpp"
#include "exec/parallel.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::models {

// One workspace for each slot, allocated by the thread that uses it, and kept for the next pass.
class Workspaces {
  public:
    void reserve(int slots, std::size_t bytes) {
        if (bytes > bytes_) {
            memory_.clear();
            bytes_ = bytes;
        }
        if (static_cast<std::size_t>(slots) > memory_.size())
            memory_.resize(static_cast<std::size_t>(slots));
    }
    void* of(int slot) {
        auto& memory = memory_[static_cast<std::size_t>(slot)];
        if (!memory)
            memory = exec::allocate(bytes_);
        return memory.get();
    }

  private:
    std::size_t bytes_ = 0;
    std::vector<exec::Memory> memory_;
};

// How rows are cut. leaf_rows depends on the shape of the model and the scalar type only: it fixes
// the order in which statistics are added.
struct RowPass {
    std::size_t n_rows;
    std::size_t leaf_rows;
    std::size_t workspace_bytes;
    int n_threads;

    std::int64_t n_leaves() const {
        return static_cast<std::int64_t>((n_rows + leaf_rows - 1) / leaf_rows);
    }
    std::size_t first_row(std::int64_t leaf) const {
        return static_cast<std::size_t>(leaf) * leaf_rows;
    }
    std::size_t n_rows_of(std::int64_t leaf) const {
        return std::min(leaf_rows, n_rows - first_row(leaf));
    }
};

// stats[0..size) = the sum over the leaves of what add(first row, rows, workspace, zeroed buffer)
// adds.
template <class Add>
void sum_over_rows(const RowPass& pass, std::size_t size, const Poll& poll, Workspaces& workspaces,
                   Add&& add, double* stats) {
    workspaces.reserve(exec::n_slots(pass.n_leaves(), pass.n_threads), pass.workspace_bytes);
    const auto leaf = [&](std::int64_t index, int slot, double* out) {
        add(pass.first_row(index), pass.n_rows_of(index), workspaces.of(slot), out);
    };
    exec::map_reduce(pass.n_leaves(), static_cast<std::int64_t>(size), pass.n_threads, poll, leaf,
                     stats);
}

template <class Add>
void sum_over_rows(const RowPass& pass, std::size_t size, const Poll& poll, Add&& add,
                   double* stats) {
    Workspaces workspaces;
    sum_over_rows(pass, size, poll, workspaces, std::forward<Add>(add), stats);
}

// Calls item(first row, rows, workspace) for every leaf; items write to rows of their own.
template <class Item>
void for_each_leaf(const RowPass& pass, const Poll& poll, Item&& item) {
    Workspaces workspaces;
    workspaces.reserve(exec::n_slots(pass.n_leaves(), pass.n_threads), pass.workspace_bytes);
    exec::parallel_for(pass.n_leaves(), pass.n_threads, poll, [&](std::int64_t index, int slot) {
        item(pass.first_row(index), pass.n_rows_of(index), workspaces.of(slot));
    });
}

}  // namespace vemfast::models
