#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "exec/memory.hpp"
#include "exec/parallel.hpp"
#include "exec/region.hpp"

namespace vemfast::exec {

namespace {

void add(double* left, const double* right, std::int64_t size) {
    for (std::int64_t i = 0; i < size; ++i) {
        left[i] += right[i];
    }
}

// The nodes of the tree that wait for their siblings, and the buffers that nobody uses.
class Fold {
  public:
    Fold(std::int64_t n_leaves, std::int64_t size, double* result)
        : n_leaves_(n_leaves), size_(size), result_(result) {}

    // A zeroed buffer for one leaf. Leaf 0 is the left end of every node that it becomes part of,
    // the root included: it writes to the result itself.
    double* buffer_for(std::int64_t leaf) {
        double* buffer = leaf == 0 ? result_ : take_buffer();
        std::fill_n(buffer, size_, 0.0);
        return buffer;
    }

    // Adds a finished leaf to the tree, and all parents that become complete by it.
    void deposit(std::int64_t leaf, double* buffer) {
        Node node{.index = leaf, .width = n_leaves_, .level = 0, .buffer = buffer};
        while (node.width > 1) {
            const bool is_left = node.index % 2 == 0;
            if (!is_left || node.index + 1 < node.width) {
                double* other = exchange(node);
                if (other == nullptr) {
                    return;  // the sibling is not there yet: whoever brings it goes on
                }
                double* left = is_left ? node.buffer : other;
                double* right = is_left ? other : node.buffer;
                add(left, right, size_);
                give_back(right);
                node.buffer = left;
            }
            node.index /= 2;
            node.width = (node.width + 1) / 2;
            ++node.level;
        }
    }

  private:
    struct Node {
        std::int64_t index;
        std::int64_t width;  // number of nodes on this level
        int level;
        double* buffer;
    };

    // The buffer of the node's sibling if that waits, else the node itself is left to wait.
    double* exchange(const Node& node) {
        const std::int64_t wanted = node.index % 2 == 0 ? node.index + 1 : node.index - 1;
        const std::lock_guard lock(mutex_);
        const auto sibling = std::find_if(waiting_.begin(), waiting_.end(), [&](const Node& other) {
            return other.level == node.level && other.index == wanted;
        });
        if (sibling == waiting_.end()) {
            waiting_.push_back(node);
            return nullptr;
        }
        double* buffer = sibling->buffer;
        *sibling = waiting_.back();
        waiting_.pop_back();
        return buffer;
    }

    double* take_buffer() {
        {
            const std::lock_guard lock(mutex_);
            if (!free_.empty()) {
                double* buffer = free_.back();
                free_.pop_back();
                return buffer;
            }
        }
        const auto bytes = static_cast<std::size_t>(size_) * sizeof(double);
        Memory fresh = allocate(bytes);
        const std::lock_guard lock(mutex_);
        free_.reserve(owned_.size() + 1);  // so that give_back cannot fail
        owned_.push_back(std::move(fresh));
        return static_cast<double*>(owned_.back().get());
    }

    void give_back(double* buffer) {
        const std::lock_guard lock(mutex_);
        free_.push_back(buffer);
    }

    const std::int64_t n_leaves_;
    const std::int64_t size_;
    double* const result_;
    std::mutex mutex_;
    std::vector<Node> waiting_;
    std::vector<double*> free_;
    std::vector<Memory> owned_;
};

}  // namespace

void map_reduce(std::int64_t n_leaves, std::int64_t size, int n_threads, const Poll& poll,
                Leaf leaf, double* result) {
    if (n_leaves <= 1) {  // small fits live here: nothing to set up, nothing to add
        std::fill_n(result, size, 0.0);
        if (n_leaves == 1) {
            leaf(0, 0, result);
        }
        return;
    }
    Fold fold(n_leaves, size, result);
    for_each_item(n_leaves, n_threads, poll, [&](std::int64_t index, int slot) {
        double* buffer = fold.buffer_for(index);
        leaf(index, slot, buffer);
        fold.deposit(index, buffer);
    });
}

}  // namespace vemfast::exec
