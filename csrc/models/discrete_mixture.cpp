#include "models/discrete_mixture.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "exec/memory.hpp"
#include "isa/dispatch.hpp"
#include "models/row_pass.hpp"
#include "vemfast/random.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::models {

using detail::IndexedNatural;
using detail::IndexedRows;
using detail::IndexedStats;
using detail::Storage;

// ---- DiscreteMixture -----------------------------------------------------------------------

DiscreteMixture::DiscreteMixture(detail::Weights weights,
                                 std::unique_ptr<detail::Indexed> components)
    : weights_(weights), components_(std::move(components)) {}

std::size_t DiscreteMixture::stats_size() const {
    return detail::indexed_stats_size(n_components(), shape().n_indexed());
}

std::size_t DiscreteMixture::params_size(Kind kind) const {
    if (kind == Kind::point)
        return n_components() + components_->point_size();
    return weights_.posterior_size() + components_->posterior_size();
}

const double* DiscreteMixture::components_of(Kind kind, const double* params) const {
    return params + (kind == Kind::point ? n_components() : weights_.posterior_size());
}

IndexedNatural DiscreteMixture::natural(Kind kind, const double* params) const {
    const double* components = components_of(kind, params);
    IndexedNatural out = kind == Kind::point ? components_->natural(components)
                                             : components_->expected_natural(components);
    std::vector<double> log_weights(n_components());
    if (kind == Kind::posterior) {
        weights_.expected_log(params, log_weights.data());
    } else {
        for (std::size_t k = 0; k < n_components(); ++k)
            log_weights[k] = std::log(params[k]);
    }
    for (std::size_t k = 0; k < n_components(); ++k)
        out.constant[k] += log_weights[k];
    return out;
}

IndexedTable DiscreteMixture::prepare(Kind kind, const double* params) const {
    return {components_->family(), shape(), natural(kind, params)};
}

void DiscreteMixture::update(ParameterRule rule, Kind previous_kind, const double* previous,
                             const double* stats, std::uint64_t seed, std::uint32_t iteration,
                             double* out) const {
    const std::size_t K = n_components();
    const double* counts = stats + 2;
    const IndexedStats sums{counts, counts + K};
    if (rule == ParameterRule::posterior) {
        weights_.posterior(counts, out);
        components_->posterior(sums, out + weights_.posterior_size());
        return;
    }
    if (rule == ParameterRule::sampled) {
        random::Stream stream(seed, iteration, random::kParameterStream, 0);
        weights_.sample(counts, stream, out);
        components_->sample(sums, seed, iteration, out + K);
        return;
    }
    weights_.mode(counts, out);
    // What a component without data keeps.
    if (previous == nullptr) {
        components_->start(out + K);
    } else if (previous_kind == Kind::point) {
        std::copy(previous + K, previous + K + components_->point_size(), out + K);
    } else {
        components_->mean(components_of(previous_kind, previous), out + K);
    }
    components_->mode(sums, out + K);
}

double DiscreteMixture::global_term(Kind kind, const double* params) const {
    const double* components = components_of(kind, params);
    if (kind == Kind::point)
        return weights_.log_prior(params) + components_->log_prior(components);
    return -weights_.kl(params) - components_->kl(components);
}

double DiscreteMixture::expected_log_joint(Kind kind, const double* params,
                                           const double* stats) const {
    const double* counts = stats + 2;
    return components_->expected_log_density(natural(kind, params),
                                             {counts, counts + n_components()});
}

void DiscreteMixture::mean_weights(const double* posterior, double* out) const {
    weights_.mean(posterior, out);
}

// ---- passes over the rows ------------------------------------------------------------------

detail::BlockShape indexed_block_shape(std::size_t n_indexed, std::size_t n_components,
                                       bool is_float, bool grouped) {
    // The responsibilities of a tile stay in a first-level cache of 32 KB beside some of the sums;
    // with groups of bits, of which there are fewer to a row and more kinds, a larger tile in the
    // second level is quicker. A leaf has so many rows that to add its statistics to those of
    // another costs little.
    constexpr std::size_t kQuantum = 64;  // rows; any vector width divides it
    constexpr std::size_t kLargest = 512;
    constexpr std::size_t kLargestLeaf = 16384;
    const std::size_t row = n_components * (is_float ? 4 : 8);
    const auto tile = [&](std::size_t bytes) {
        return std::clamp(bytes / row / kQuantum * kQuantum, kQuantum, kLargest);
    };
    const std::size_t few = tile(std::size_t{27} << 10);
    const std::size_t leaf = std::clamp(2 * n_indexed, 4 * few, kLargestLeaf);
    return {grouped ? tile(std::size_t{108} << 10) : few,
            (leaf + kLargest - 1) / kLargest * kLargest};
}

namespace {

template <class T>
const IndexedEntry<T>& entry() {
    if constexpr (sizeof(T) == 4)
        return kernels().indexed.on_float;
    else
        return kernels().indexed.on_double;
}

// The table as the kernels read it: rows padded to whole vectors, on cache lines.
template <class T>
class PackedTable {
  public:
    PackedTable(const IndexedTable& table, std::size_t n_groups)
        : K_(table.shape.n_components),
          n_indexed_(n_groups > 0 ? n_groups * detail::kPatterns : table.shape.n_indexed()) {
        const auto lanes = static_cast<std::size_t>(kernels().vector_bytes) / sizeof(T);
        ld_ = (K_ + lanes - 1) / lanes * lanes;
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

std::size_t item_size(Storage storage) {
    switch (storage) {
        case Storage::bytes:
            return 1;
        case Storage::codes:
        case Storage::float_counts:
            return 4;
        case Storage::double_counts:
            return 8;
        default:
            return 0;
    }
}

// Most entries that one tile can have.
std::size_t most_entries(const IndexedRows& rows, std::size_t tile_rows) {
    if (!detail::is_csr(rows.storage))
        return tile_rows * rows.n_features;
    std::size_t most = 0;
    for (std::size_t first = 0; first < rows.n_rows; first += tile_rows) {
        const std::size_t end = std::min(first + tile_rows, rows.n_rows);
        most = std::max(most, static_cast<std::size_t>(rows.indptr[end] - rows.indptr[first]));
    }
    return most;
}

template <class T>
std::size_t groups_of(const IndexedTable& table) {
    return detail::bit_groups(table.family, table.shape.marginalize, table.shape.n_features,
                              table.shape.n_components, sizeof(T) == 4);
}

struct Plan {
    RowPass pass;
    detail::IndexedSizes sizes;
};

template <class T>
Plan plan_for(const IndexedTable& table, const IndexedRows& rows, int n_threads) {
    const std::size_t K = table.shape.n_components;
    const std::size_t n_indexed = table.shape.n_indexed();
    const std::size_t groups = groups_of<T>(table);
    const detail::BlockShape shape = indexed_block_shape(n_indexed, K, sizeof(T) == 4, groups > 0);
    detail::IndexedSizes sizes;
    sizes.tile_rows = std::min(shape.tile_rows, std::max<std::size_t>(rows.n_rows, 1));
    sizes.n_components = K;
    sizes.n_groups = groups;
    sizes.n_indexed = groups > 0 ? groups * detail::kPatterns : n_indexed;
    sizes.n_features = rows.n_features;
    sizes.n_entries = most_entries(rows, sizes.tile_rows);
    sizes.item = rows.column_stride == 1 ? 0 : item_size(rows.storage);
    require(sizes.n_entries < std::numeric_limits<std::uint32_t>::max(), sizes.tile_rows,
            " rows of X have ", sizes.n_entries, " entries, more than 2**32; use fewer features");
    const std::size_t bytes = entry<T>().workspace_bytes(sizes);
    return {{rows.n_rows, shape.leaf_rows, bytes, n_threads}, sizes};
}

template <class T>
detail::IndexedTask<T> task_for(const IndexedTable& table, const PackedTable<T>& packed,
                                const IndexedRows& rows) {
    detail::IndexedTask<T> task;
    task.rows = rows;
    task.scores = packed.view();
    task.family = table.family;
    task.column_offsets = table.shape.column_offsets.data();
    task.n_values = table.shape.n_values;
    task.marginalize = table.shape.marginalize;
    task.n_groups = groups_of<T>(table);
    return task;
}

template <class T>
void run_e_step(const IndexedTable& table, const IndexedRows& rows, detail::LocalRule rule,
                std::uint64_t seed, std::uint32_t iteration, int n_threads, const Poll& poll,
                double* stats) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    const PackedTable<T> packed(table, plan.sizes.n_groups);
    detail::IndexedTask<T> task = task_for<T>(table, packed, rows);
    task.rule = rule;
    task.seed = seed;
    task.iteration = iteration;
    const auto add = [&](std::size_t first, std::size_t n, void* memory, double* out) {
        entry<T>().estep(task, first, n, plan.sizes, memory, out);
    };
    const std::size_t size =
        detail::indexed_stats_size(table.shape.n_components, table.shape.n_indexed());
    sum_over_rows(plan.pass, size, poll, add, stats);
}

template <class T>
void run_assign(const IndexedTable& table, const IndexedRows& rows,
                const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    const Plan plan = plan_for<T>(table, rows, n_threads);
    const PackedTable<T> packed(table, plan.sizes.n_groups);
    const detail::IndexedTask<T> task = task_for<T>(table, packed, rows);
    for_each_leaf(plan.pass, poll, [&](std::size_t first, std::size_t n, void* memory) {
        entry<T>().assign(task, first, n, plan.sizes, memory, out);
    });
}

// log x!, from a table for the small counts that most are.
class LogFactorials {
  public:
    LogFactorials() {
        for (std::size_t x = 0; x < kSize; ++x)
            table_[x] = special::lgamma(static_cast<double>(x) + 1.0);
    }
    double operator()(double x) const {
        return x < kSize ? table_[static_cast<std::size_t>(x)] : special::lgamma(x + 1.0);
    }

  private:
    static constexpr std::size_t kSize = 256;
    double table_[kSize];
};

template <class Count>
double row_base_measure(const IndexedRows& rows, std::size_t n,
                        const LogFactorials& log_factorial) {
    double sum = 0;
    const auto add = [&](Count x) {
        if (x > 1)  // not NaN
            sum -= log_factorial(static_cast<double>(x));
    };
    const Count* values =
        static_cast<const Count*>(detail::is_csr(rows.storage) ? rows.values : rows.data);
    if (detail::is_csr(rows.storage)) {
        for (std::int64_t i = rows.indptr[n]; i < rows.indptr[n + 1]; ++i)
            add(values[i]);
    } else {
        const Count* row = values + static_cast<std::ptrdiff_t>(n) * rows.row_stride;
        for (std::size_t d = 0; d < rows.n_features; ++d)
            add(row[static_cast<std::ptrdiff_t>(d) * rows.column_stride]);
    }
    return sum;
}

}  // namespace

void e_step(const IndexedTable& table, const IndexedRows& rows, bool is_float,
            detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration, int n_threads,
            const Poll& poll, double* stats) {
    if (is_float)
        run_e_step<float>(table, rows, rule, seed, iteration, n_threads, poll, stats);
    else
        run_e_step<double>(table, rows, rule, seed, iteration, n_threads, poll, stats);
}

void assign(const IndexedTable& table, const IndexedRows& rows, bool is_float,
            const detail::AssignOutputs& out, int n_threads, const Poll& poll) {
    if (is_float)
        run_assign<float>(table, rows, out, n_threads, poll);
    else
        run_assign<double>(table, rows, out, n_threads, poll);
}

void log_base_measure(const IndexedRows& rows, int n_threads, const Poll& poll, double* out) {
    const LogFactorials log_factorial;
    const bool in_float =
        rows.storage == Storage::float_counts || rows.storage == Storage::csr_float;
    const bool has_counts =
        in_float || rows.storage == Storage::double_counts || rows.storage == Storage::csr_double;
    const RowPass pass{rows.n_rows, 4096, 1, n_threads};
    for_each_leaf(pass, poll, [&](std::size_t first, std::size_t n, void*) {
        for (std::size_t i = first; i < first + n; ++i) {
            if (!has_counts)
                out[i] = 0;
            else if (in_float)
                out[i] = row_base_measure<float>(rows, i, log_factorial);
            else
                out[i] = row_base_measure<double>(rows, i, log_factorial);
        }
    });
}

}  // namespace vemfast::models
