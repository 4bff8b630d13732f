// The passes of the discrete mixtures against plain loops: every storage, both precisions, widths
// around the vectors and strips of any level.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "models/discrete_mixture.hpp"

namespace {

using namespace vemfast::detail;
using vemfast::models::IndexedTable;

struct Problem {
    IndexedFamily family;
    std::size_t n, D, K;
    bool missing;
    std::vector<double> X;  // n x D: bits, counts or codes; NaN is missing
    std::vector<double> weights;
    IndexedTable table;
};

class Numbers {
  public:
    explicit Numbers(std::uint64_t seed) : state_(seed * 2 + 1) {}
    double operator()() {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return static_cast<double>(state_ >> 11) * 0x1p-53;
    }

  private:
    std::uint64_t state_;
};

constexpr std::size_t kCodes = 3;

Problem problem(IndexedFamily family, std::size_t n, std::size_t D, std::size_t K, bool missing) {
    Problem out{family, n, D, K, missing, {}, {}, {}};
    Numbers u(n + 31 * D + 977 * K);
    const bool codes = family == IndexedFamily::categorical;
    for (std::size_t i = 0; i < n * D; ++i) {
        const double draw = u();
        double x = draw < 0.3 ? 1.0 : 0.0;
        if (family == IndexedFamily::poisson)
            x = std::floor(draw < 0.5 ? 0.0 : 20.0 * (draw - 0.5));
        if (codes)
            x = std::floor(kCodes * draw);
        out.X.push_back(missing && u() < 0.2 ? std::numeric_limits<double>::quiet_NaN() : x);
    }
    for (std::size_t i = 0; i < n; ++i)
        out.weights.push_back(i % 7 == 3 ? 0.0 : 0.5 + u());
    IndexedShape shape{K, D, codes ? kCodes * D : D, {}, missing};
    for (std::size_t d = 0; codes && d <= D; ++d)
        shape.column_offsets.push_back(static_cast<std::int64_t>(kCodes * d));
    out.table = {family, shape, {}};
    for (std::size_t k = 0; k < K; ++k)
        out.table.natural.constant.push_back(-3.0 * u());
    for (std::size_t i = 0; i < K * shape.n_indexed(); ++i)
        out.table.natural.table.push_back(2.0 * u() - 1.0);
    return out;
}

// The rows in one of the storages; `strided` is by column, with gaps.
struct Stored {
    std::vector<std::uint8_t> bytes;
    std::vector<std::int32_t> codes;
    std::vector<float> floats;
    std::vector<double> doubles;
    std::vector<std::int64_t> indptr;
    std::vector<std::int32_t> indices;
    IndexedRows rows;
};

template <class Item>
void store_dense(const Problem& from, bool strided, Item absent, std::vector<Item>& items,
                 IndexedRows& rows) {
    items.assign(2 * from.n * from.D + 1, Item(77));
    rows.row_stride = strided ? 2 : static_cast<std::ptrdiff_t>(from.D);
    rows.column_stride = strided ? static_cast<std::ptrdiff_t>(2 * from.n) : 1;
    rows.data = items.data();
    for (std::size_t i = 0; i < from.n; ++i) {
        for (std::size_t d = 0; d < from.D; ++d) {
            const double x = from.X[i * from.D + d];
            items[static_cast<std::size_t>(static_cast<std::ptrdiff_t>(i) * rows.row_stride +
                                           static_cast<std::ptrdiff_t>(d) * rows.column_stride)] =
                std::isnan(x) ? absent : static_cast<Item>(x);
        }
    }
}

std::unique_ptr<Stored> store(const Problem& from, Storage storage, bool strided) {
    auto out = std::make_unique<Stored>();
    IndexedRows& rows = out->rows;
    rows.storage = storage;
    rows.n_rows = from.n;
    rows.n_features = from.D;
    rows.weights = from.weights.data();
    rows.offset = 17;
    switch (storage) {
        case Storage::bytes:
            store_dense<std::uint8_t>(from, strided, 255, out->bytes, rows);
            return out;
        case Storage::codes:
            store_dense<std::int32_t>(from, strided, -1, out->codes, rows);
            return out;
        case Storage::float_counts:
            store_dense<float>(from, strided, std::nanf(""), out->floats, rows);
            return out;
        case Storage::double_counts:
            store_dense<double>(from, strided, std::nan(""), out->doubles, rows);
            return out;
        default:
            break;
    }
    out->indptr.push_back(0);
    for (std::size_t i = 0; i < from.n; ++i) {
        for (std::size_t d = 0; d < from.D; ++d) {
            const double x = from.X[i * from.D + d];
            if (x == 0.0)
                continue;
            out->indices.push_back(static_cast<std::int32_t>(d));
            out->floats.push_back(static_cast<float>(x));
            out->doubles.push_back(x);
        }
        out->indptr.push_back(static_cast<std::int64_t>(out->indices.size()));
    }
    rows.indptr = out->indptr.data();
    rows.indices = out->indices.data();
    if (storage == Storage::csr_float)
        rows.values = out->floats.data();
    if (storage == Storage::csr_double)
        rows.values = out->doubles.data();
    return out;
}

std::vector<Storage> storages(const Problem& of) {
    switch (of.family) {
        case IndexedFamily::bernoulli:
            if (of.missing)
                return {Storage::bytes, Storage::csr_float, Storage::csr_double};
            return {Storage::bytes, Storage::csr_ones};
        case IndexedFamily::poisson:
            return {Storage::float_counts, Storage::double_counts, Storage::csr_float,
                    Storage::csr_double};
        case IndexedFamily::categorical:
            return {Storage::bytes, Storage::codes};
    }
    return {};
}

// The entries of a row, in one plain loop.
std::vector<std::pair<std::size_t, double>> entries(const Problem& of, std::size_t row) {
    std::vector<std::pair<std::size_t, double>> out;
    for (std::size_t d = 0; d < of.D; ++d) {
        const double x = of.X[row * of.D + d];
        if (of.family == IndexedFamily::categorical) {
            if (!std::isnan(x))
                out.emplace_back(kCodes * d + static_cast<std::size_t>(x), 1.0);
        } else if (std::isnan(x)) {
            out.emplace_back(of.D + d, 1.0);
        } else if (x != 0.0) {
            out.emplace_back(d, x);
        }
    }
    return out;
}

std::vector<double> scores(const Problem& of, std::size_t row) {
    std::vector<double> s(of.table.natural.constant);
    for (const auto& [f, v] : entries(of, row)) {
        for (std::size_t k = 0; k < of.K; ++k)
            s[k] += v * of.table.natural.table[f * of.K + k];
    }
    return s;
}

struct Row {
    double log_density = 0;
    std::size_t best = 0;
    std::vector<double> share;
};

Row row_of(const Problem& of, std::size_t row) {
    Row out;
    out.share = scores(of, row);
    for (std::size_t k = 0; k < of.K; ++k)
        out.best = out.share[k] > out.share[out.best] ? k : out.best;
    const double top = out.share[out.best];
    double total = 0;
    for (double& s : out.share)
        total += s = std::exp(s - top);
    for (double& s : out.share)
        s /= total;
    out.log_density = top + std::log(total);
    return out;
}

// Statistics under soft or hard labels.
std::vector<double> statistics(const Problem& of, bool hard) {
    std::vector<double> out(indexed_stats_size(of.K, of.table.shape.n_indexed()), 0.0);
    for (std::size_t n = 0; n < of.n; ++n) {
        const Row row = row_of(of, n);
        const double w = of.weights[n];
        out[0] += w * (hard ? scores(of, n)[row.best] : row.log_density);
        for (std::size_t k = 0; k < of.K; ++k) {
            const double r = w * (hard ? (k == row.best ? 1.0 : 0.0) : row.share[k]);
            if (!hard && r > 0)
                out[1] -= r * std::log(row.share[k]);
            out[2 + k] += r;
            for (const auto& [f, v] : entries(of, n))
                out[2 + of.K * (f + 1) + k] += r * v;
        }
    }
    return out;
}

std::vector<double> run(const Problem& of, const IndexedRows& rows, bool is_float, LocalRule rule,
                        int n_threads = 1) {
    std::vector<double> out(indexed_stats_size(of.K, of.table.shape.n_indexed()), -1.0);
    vemfast::models::e_step(of.table, rows, is_float, rule, 3, 5, n_threads, {}, out.data());
    return out;
}

bool all_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
    double scale = 1.0;
    for (const double x : b)
        scale = std::max(scale, std::abs(x));
    for (std::size_t i = 0; i < b.size(); ++i) {
        if (!(std::abs(a[i] - b[i]) <= tolerance * scale))
            return false;
    }
    return a.size() == b.size();
}

std::vector<Problem> problems() {
    std::vector<Problem> out;
    for (const IndexedFamily family :
         {IndexedFamily::bernoulli, IndexedFamily::poisson, IndexedFamily::categorical}) {
        for (const bool missing : {false, true}) {
            for (const std::size_t K : {1, 2, 3, 5, 8, 17, 50, 70})
                out.push_back(problem(family, 150, 13, K, missing));
            out.push_back(problem(family, 9, 700, 4, missing));  // few entries for many features
            out.push_back(problem(family, 700, 1, 3, missing));
        }
    }
    // Groups of bits: words of 64 features, and a table that is small enough in float only.
    out.push_back(problem(IndexedFamily::bernoulli, 600, 131, 6, false));
    out.push_back(problem(IndexedFamily::bernoulli, 60, 700, 100, false));
    return out;
}

TEST_CASE(e_steps_are_those_of_plain_loops) {
    for (const Problem& of : problems()) {
        const std::vector<double> soft = statistics(of, false);
        const std::vector<double> hard = statistics(of, true);
        for (const Storage storage : storages(of)) {
            for (const bool strided : {false, true}) {
                if (strided && is_csr(storage))
                    continue;
                const auto stored = store(of, storage, strided);
                CHECK(all_close(run(of, stored->rows, false, LocalRule::exact), soft, 1e-12));
                CHECK(all_close(run(of, stored->rows, false, LocalRule::hard), hard, 1e-12));
                CHECK(all_close(run(of, stored->rows, true, LocalRule::exact), soft, 2e-5));
            }
        }
    }
}

// A sparse tile goes row by row, a fuller one is sorted by feature: a data set with both kinds.
TEST_CASE(sparse_and_full_tiles_add_up) {
    Problem of = problem(IndexedFamily::bernoulli, 700, 300, 50, false);
    for (std::size_t i = 0; i < 300 * of.D; ++i)
        of.X[i] = i % 501 == 0 ? 1.0 : 0.0;
    const std::vector<double> soft = statistics(of, false);
    for (const Storage storage : storages(of)) {
        const auto stored = store(of, storage, false);
        CHECK(all_close(run(of, stored->rows, false, LocalRule::exact), soft, 1e-12));
        CHECK(all_close(run(of, stored->rows, true, LocalRule::exact), soft, 2e-5));
    }
}

TEST_CASE(threads_and_storages_give_the_same_bits) {
    const Problem of = problem(IndexedFamily::poisson, 5000, 3, 4, true);
    for (const LocalRule rule : {LocalRule::exact, LocalRule::hard, LocalRule::sampled}) {
        const auto first = store(of, Storage::double_counts, false);
        const std::vector<double> expected = run(of, first->rows, false, rule);
        for (const Storage storage : storages(of)) {
            const auto stored = store(of, storage, false);
            CHECK(run(of, stored->rows, false, rule, 3) == expected);
        }
    }
}

// A feature that all rows have is counted as the rows are, to the bit, however long the tile.
TEST_CASE(a_feature_of_all_rows_has_the_counts) {
    for (const std::size_t D : {3, 700}) {
        Problem of = problem(IndexedFamily::bernoulli, 1111, D, 7, false);
        for (std::size_t i = 0; i < of.X.size(); ++i)
            of.X[i] = i % D == 1 ? 1.0 : (D > 100 ? 0.0 : of.X[i]);
        const auto stored = store(of, Storage::bytes, false);
        for (const bool is_float : {false, true}) {
            for (const LocalRule rule : {LocalRule::exact, LocalRule::hard}) {
                const std::vector<double> stats = run(of, stored->rows, is_float, rule);
                for (std::size_t k = 0; k < of.K; ++k)
                    CHECK(stats[2 + k] == stats[2 + of.K * 2 + k]);
            }
        }
    }
}

TEST_CASE(given_labels_are_counted) {
    const Problem of = problem(IndexedFamily::poisson, 200, 5, 3, true);
    std::vector<std::int32_t> labels;
    for (std::size_t n = 0; n < of.n; ++n)
        labels.push_back(static_cast<std::int32_t>(n * n % of.K));
    auto stored = store(of, Storage::double_counts, false);
    stored->rows.labels = labels.data();
    std::vector<double> expected(indexed_stats_size(of.K, of.table.shape.n_indexed()), 0.0);
    for (std::size_t n = 0; n < of.n; ++n) {
        const auto k = static_cast<std::size_t>(labels[n]);
        expected[2 + k] += of.weights[n];
        for (const auto& [f, v] : entries(of, n))
            expected[2 + of.K * (f + 1) + k] += of.weights[n] * v;
    }
    CHECK(all_close(run(of, stored->rows, false, LocalRule::labels), expected, 1e-13));
}

// Known labels clamp their rows, under every rule; given responsibilities are those of the others.
TEST_CASE(known_labels_and_given_responsibilities) {
    for (const IndexedFamily family : {IndexedFamily::bernoulli, IndexedFamily::poisson}) {
        const Problem of = problem(family, 300, 70, 6, false);
        const auto stored = store(of, storages(of)[0], false);
        Numbers u(5);
        std::vector<std::int32_t> labels;
        std::vector<double> shares;
        for (std::size_t n = 0; n < of.n; ++n) {
            labels.push_back(n % 3 == 0 ? static_cast<std::int32_t>(n / 3 % of.K) : -1);
            double total = 0;
            for (std::size_t k = 0; k < of.K; ++k)
                total += shares.emplace_back(k == n % 5 ? 0.0 : u());
            for (std::size_t k = 0; k < of.K; ++k)
                shares[n * of.K + k] /= total;
        }
        stored->rows.labels = labels.data();
        stored->rows.responsibilities = shares.data();
        for (const LocalRule rule : {LocalRule::given, LocalRule::exact, LocalRule::hard}) {
            const std::size_t size = indexed_stats_size(of.K, of.table.shape.n_indexed());
            std::vector<double> expected(size, 0.0);
            for (std::size_t n = 0; n < of.n; ++n) {
                const Row row = row_of(of, n);
                const double w = of.weights[n];
                std::vector<double> share(row.share);
                if (rule == LocalRule::given)
                    std::copy_n(shares.begin() + static_cast<std::ptrdiff_t>(n * of.K), of.K,
                                share.begin());
                const std::size_t label =
                    labels[n] >= 0 ? static_cast<std::size_t>(labels[n]) : row.best;
                if (labels[n] >= 0 || rule == LocalRule::hard) {
                    share.assign(of.K, 0.0);
                    share[label] = 1.0;
                    expected[0] += w * scores(of, n)[label];
                } else {
                    expected[0] += w * row.log_density;
                }
                for (std::size_t k = 0; k < of.K; ++k) {
                    if (share[k] > 0)
                        expected[1] -= w * share[k] * std::log(share[k]);
                    expected[2 + k] += w * share[k];
                    for (const auto& [f, v] : entries(of, n))
                        expected[2 + of.K * (f + 1) + k] += w * share[k] * v;
                }
            }
            std::vector<double> stats = run(of, stored->rows, false, rule, 2);
            if (rule == LocalRule::given)  // no bound, no entropy: a start
                expected[0] = expected[1] = stats[0] = stats[1] = 0.0;
            CHECK(all_close(stats, expected, 1e-12));
        }
    }
}

TEST_CASE(random_responsibilities_add_up_to_the_weights) {
    const Problem of = problem(IndexedFamily::bernoulli, 300, 5, 6, false);
    const auto stored = store(of, Storage::bytes, false);
    const std::vector<double> stats = run(of, stored->rows, false, LocalRule::random);
    double total = 0;
    double weights = 0;
    for (std::size_t k = 0; k < of.K; ++k)
        total += stats[2 + k];
    for (const double w : of.weights)
        weights += w;
    CHECK(std::abs(total - weights) < 1e-10);
    for (std::size_t d = 0; d < of.D; ++d) {
        double ones = 0;
        double sums = 0;
        for (std::size_t n = 0; n < of.n; ++n)
            ones += of.weights[n] * of.X[n * of.D + d];
        for (std::size_t k = 0; k < of.K; ++k)
            sums += stats[2 + of.K * (d + 1) + k];
        CHECK(std::abs(ones - sums) < 1e-10);
    }
}

TEST_CASE(assignments_are_those_of_plain_loops) {
    for (const Problem& of : problems()) {
        const auto stored = store(of, storages(of)[0], false);
        std::vector<double> base(of.n, 0.25);
        stored->rows.base = base.data();
        std::vector<std::int32_t> labels(of.n);
        std::vector<double> density(of.n);
        std::vector<double> shares(of.n * of.K);
        std::vector<double> raw(of.n * of.K);
        for (const bool is_float : {false, true}) {
            const double tolerance = is_float ? 2e-4 : 1e-12;
            const auto ask = [&](const AssignOutputs& out) {
                vemfast::models::assign(of.table, stored->rows, is_float, out, 2, {});
            };
            ask({labels.data(), nullptr, nullptr, nullptr});
            ask({nullptr, shares.data(), nullptr, nullptr});
            ask({nullptr, nullptr, density.data(), nullptr});
            ask({nullptr, nullptr, nullptr, raw.data()});
            for (std::size_t n = 0; n < of.n; ++n) {
                const Row row = row_of(of, n);
                const std::vector<double> s = scores(of, n);
                const auto label = static_cast<std::size_t>(labels[n]);
                CHECK(label < of.K &&
                      s[label] >= s[row.best] - tolerance * (1 + std::abs(s[label])));
                CHECK(std::abs(density[n] - 0.25 - row.log_density) <=
                      tolerance * (1 + std::abs(row.log_density)));
                for (std::size_t k = 0; k < of.K; ++k) {
                    CHECK(std::abs(shares[n * of.K + k] - row.share[k]) <= tolerance * 10);
                    CHECK(std::abs(raw[n * of.K + k] - s[k]) <= tolerance * (1 + std::abs(s[k])));
                }
            }
        }
    }
}

// Rows that no component can have: shares that add up to one, a log density of -inf, never NaN.
TEST_CASE(impossible_rows) {
    Problem of = problem(IndexedFamily::poisson, 70, 4, 5, false);
    for (double& value : of.table.natural.table)
        value = -1e300;
    of.X.assign(of.X.size(), 3.0);
    for (std::size_t i = 0; i < of.D; ++i)
        of.X[i] = 0.0;  // but the first row is possible
    const auto stored = store(of, Storage::double_counts, false);
    for (const bool is_float : {false, true}) {
        std::vector<double> density(of.n);
        AssignOutputs out;
        out.log_density = density.data();
        vemfast::models::assign(of.table, stored->rows, is_float, out, 1, {});
        CHECK(std::isfinite(density[0]) && density[1] == -INFINITY);
        const std::vector<double> stats = run(of, stored->rows, is_float, LocalRule::exact);
        CHECK(stats[0] == -INFINITY);
        for (std::size_t i = 1; i < stats.size(); ++i)
            CHECK(std::isfinite(stats[i]));
    }
}

TEST_CASE(base_measures) {
    const Problem of = problem(IndexedFamily::poisson, 90, 6, 2, true);
    std::vector<double> expected(of.n, 0.0);
    for (std::size_t i = 0; i < of.X.size(); ++i) {
        for (double x = of.X[i]; x > 1.0; x -= 1.0)
            expected[i / of.D] -= std::log(x);
    }
    for (const Storage storage : storages(of)) {
        const auto stored = store(of, storage, false);
        std::vector<double> base(of.n);
        vemfast::models::log_base_measure(stored->rows, 2, {}, base.data());
        CHECK(all_close(base, expected, 1e-13));
        // They are added to both forms of the bound, times the weights.
        const std::vector<double> without = run(of, stored->rows, false, LocalRule::exact);
        stored->rows.base = base.data();
        const std::vector<double> with = run(of, stored->rows, false, LocalRule::exact);
        double total = 0;
        for (std::size_t n = 0; n < of.n; ++n)
            total += of.weights[n] * expected[n];
        CHECK(std::abs(with[0] - without[0] - total) < 1e-9);
        CHECK(std::abs(with[1] - without[1] - total) < 1e-9);
    }
}

}  // namespace
