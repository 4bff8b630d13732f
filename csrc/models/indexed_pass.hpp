// What a pass over the rows of an indexed family is made of: the packed table, the sizes of the
// workspace, the task of the kernels.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>

#include "exec/memory.hpp"
#include "isa/dispatch.hpp"
#include "models/discrete_mixture.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

// The table as the kernels read it: rows padded to whole vectors, on cache lines.
template <class T>
class PackedTable {
  public:
    // With n_groups > 0 the rows are the patterns of groups of bits.
    PackedTable(const IndexedTable& table, std::size_t n_groups)
        : K_(table.shape.n_components),
          n_indexed_(n_groups > 0 ? n_groups * detail::kPatterns : table.shape.n_indexed()) {
        ld_ = whole_vectors<T>(K_);
        const std::size_t size = (n_indexed_ + 1) * ld_;
        memory_ = exec::allocate(size * sizeof(T));
        T* out = static_cast<T*>(memory_.get());
        pack(table.natural.constant.data(), 1, out);
        if (n_groups > 0)
            pack_patterns(table.natural.table, table.shape.n_features, out + ld_);
        else
            pack(table.natural.table.data(), n_indexed_, out + ld_);
    }

    detail::IndexedScores<T> view() const {
        const T* data = static_cast<const T*>(memory_.get());
        return {K_, n_indexed_, ld_, data, data + ld_};
    }

  private:
    void pack(const double* from, std::size_t n, T* out) const {
        // Where a double is no finite float: the impossible scores of the kernels.
        constexpr double kFloor = sizeof(T) == 4 ? -1e37 : -1e300;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = 0; k < ld_; ++k)
                out[i * ld_ + k] =
                    k < K_ ? static_cast<T>(std::max(from[i * K_ + k], kFloor)) : T(0);
        }
    }

    // The scores of all patterns of each group of bits.
    void pack_patterns(const std::vector<double>& table, std::size_t n_features, T* out) const {
        std::vector<double> patterns(detail::kPatterns * K_);
        for (std::size_t d = 0; d < n_features; d += detail::kGroupBits) {
            for (std::size_t p = 1; p < detail::kPatterns; ++p) {
                const auto bit = static_cast<std::size_t>(std::countr_zero(p));
                const double* rest = patterns.data() + (p & (p - 1)) * K_;
                for (std::size_t k = 0; k < K_; ++k)
                    patterns[p * K_ + k] =
                        rest[k] + (d + bit < n_features ? table[(d + bit) * K_ + k] : 0.0);
            }
            pack(patterns.data(), detail::kPatterns,
                 out + d / detail::kGroupBits * detail::kPatterns * ld_);
        }
    }

    std::size_t K_, n_indexed_, ld_;
    exec::Memory memory_;
};

inline std::size_t item_size(detail::Storage storage) {
    switch (storage) {
        case detail::Storage::bytes:
            return 1;
        case detail::Storage::codes:
        case detail::Storage::float_counts:
            return 4;
        case detail::Storage::double_counts:
            return 8;
        default:
            return 0;
    }
}

// Most entries that one tile can have.
inline std::size_t most_entries(const detail::IndexedRows& rows, std::size_t tile_rows) {
    if (!detail::is_csr(rows.storage))
        return tile_rows * rows.n_features;
    std::size_t most = 0;
    for (std::size_t first = 0; first < rows.n_rows; first += tile_rows) {
        const std::size_t end = std::min(first + tile_rows, rows.n_rows);
        most = std::max(most, static_cast<std::size_t>(rows.indptr[end] - rows.indptr[first]));
    }
    return most;
}

// Kernels number the entries of a tile by 32 bits.
inline void require_few_entries(const detail::IndexedSizes& sizes) {
    require(sizes.n_entries < std::numeric_limits<std::uint32_t>::max(), sizes.tile_rows,
            " rows of X have ", sizes.n_entries, " entries, more than 2**32; use fewer features");
}

inline detail::IndexedSizes indexed_sizes(const IndexedTable& table,
                                          const detail::IndexedRows& rows, std::size_t tile_rows,
                                          std::size_t n_groups) {
    detail::IndexedSizes sizes;
    sizes.tile_rows = std::min(tile_rows, std::max<std::size_t>(rows.n_rows, 1));
    sizes.n_components = table.shape.n_components;
    sizes.n_groups = n_groups;
    sizes.n_indexed = n_groups > 0 ? n_groups * detail::kPatterns : table.shape.n_indexed();
    sizes.n_features = rows.n_features;
    sizes.n_entries = most_entries(rows, sizes.tile_rows);
    sizes.item = rows.column_stride == 1 ? 0 : item_size(rows.storage);
    require_few_entries(sizes);
    return sizes;
}

template <class T>
detail::IndexedTask<T> task_for(const IndexedTable& table, const PackedTable<T>& packed,
                                const detail::IndexedRows& rows, std::size_t n_groups) {
    detail::IndexedTask<T> task;
    task.rows = rows;
    task.scores = packed.view();
    task.family = table.family;
    task.column_offsets = table.shape.column_offsets.data();
    task.n_values = table.shape.n_values;
    task.marginalize = table.shape.marginalize;
    task.n_groups = n_groups;
    return task;
}

}  // namespace vemfast::models
