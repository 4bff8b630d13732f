// What a fused E-step is told: plain data only, because these structs cross from code compiled for
// the baseline processor into code compiled for one instruction-set level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vemfast::detail {

enum class Covariance : int { full, tied, diag, spherical, tied_spherical };

// How a row's label is treated. `exact` to `sampled` are the local rules of the method table;
// `labels`, `random` and `given` make the first statistics of a start.
enum class LocalRule : int { exact, hard, sampled, labels, random, given };

// Rows of a matrix with element strides, of float or double.
struct RowsView {
    const void* data = nullptr;
    std::ptrdiff_t row_stride = 0;
    std::ptrdiff_t column_stride = 0;
    std::size_t n_rows = 0;
    std::size_t n_features = 0;
    bool is_float = false;
    const double* weights = nullptr;   // n_rows, or null for weight one
    std::ptrdiff_t weight_stride = 1;  // elements
    // n_rows: the component that a row is known to belong to, -1 where that is not known (under
    // LocalRule::labels all are known). Null: none is.
    const std::int32_t* labels = nullptr;
    const double* responsibilities = nullptr;  // n_rows x K, for LocalRule::given
    std::uint64_t offset = 0;  // global index of the first row: keys the random draws
};

// Gaussian scores c_k - q_k(x) / 2 in the layout that the kernels read; one scalar type.
//   full       factor: per component the rows of the precision factor, packed in groups of
//              kGroup outputs (see pack_triangle); shift: minus factor times mean, K x D
//   tied       factor: one packed triangle; shift: factor times mean, K x D
//   diag       factor: root precisions, K x D; shift: minus factor times mean, K x D
//   spherical  (and tied_spherical) factor: precisions, K; shift: means, K x D
// With `student`, the score becomes constant - tail * log1p(q * scale) (and for diag a sum of
// such terms over the features): the predictive density of a conjugate posterior.
template <class T>
struct GaussianScores {
    Covariance kind = Covariance::full;
    bool student = false;
    std::size_t n_components = 0;
    std::size_t n_features = 0;
    const T* constant = nullptr;  // K
    const T* factor = nullptr;
    const T* shift = nullptr;        // K x D
    const T* tail = nullptr;         // K, student only
    const T* tail_scale = nullptr;   // K, student only
    const double* origin = nullptr;  // D, subtracted from every row
};

// What scoring rows with missing features needs beside GaussianScores: doubles, the components side
// by side in rows of `stride` numbers (K rounded up to kLaneQuantum; the components beyond K are
// harmless). With Lambda the (expected) precision, m the missing features of a row:
//   full       precision: D x D x stride; pull: Lambda mu, D x stride
//   tied       precision: D x D x kLaneQuantum equal numbers; pull; root: the factor, D x D lower
//              triangular, Lambda = F^T F; centre: F mu, D x stride
//   diag       precision: D x stride        spherical kinds: precision: stride
// and what the score of a row gains by features that are integrated out:
//   full, tied and spherical kinds  gain: (D + 1) x stride, by their number; -log|Lambda_mm| / 2
//                                   included for the spherical kinds only
//   diag                            gain: D x stride, of each feature, -log(Lambda) / 2 included
static constexpr std::size_t kLaneQuantum = 8;

struct MissingScores {
    std::size_t stride = 0;
    const double* precision = nullptr;
    const double* mean = nullptr;  // D x stride
    const double* pull = nullptr;
    const double* root = nullptr;
    const double* centre = nullptr;
    const double* gain = nullptr;
};

// Outputs of an assignment pass; each may be null. Rows are relative to the view.
struct AssignOutputs {
    std::int32_t* labels = nullptr;      // n_rows
    double* responsibilities = nullptr;  // n_rows x K
    double* log_density = nullptr;       // n_rows: logsumexp of the scores
    double* scores = nullptr;            // n_rows x K
    double* imputed = nullptr;           // n_rows x D; only missing values are written
};

template <class T>
struct MixtureTask {
    RowsView rows;
    GaussianScores<T> scores;
    Covariance statistics = Covariance::full;  // family whose statistics are accumulated
    LocalRule rule = LocalRule::exact;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
    // Not null: NaN is a missing value. Null: rows have no NaN.
    const MissingScores* missing = nullptr;
};

// The rows of k-means, feature-major, padded to a multiple of kClusterRows rows of weight zero.
struct ClusterRows {
    const double* x;        // D x n
    const double* weights;  // n
    std::size_t n;
    std::size_t D;
};
static constexpr std::size_t kClusterRows = 8;
// Up to these sizes a kernel of its own finds clusters.
static constexpr std::size_t kFewClusters = 8;
static constexpr std::size_t kFewFeatures = 4;

// Sizes that depend on the shape and the scalar type only, never on threads: they fix the order
// in which statistics are added.
struct BlockShape {
    std::size_t tile_rows;  // rows that stay in cache through the passes
    std::size_t leaf_rows;  // rows of one leaf of the reduction tree: a few tiles
};

static constexpr std::size_t kGroup = 4;  // outputs of a packed triangle that are computed together

// Length of a packed triangle of order n.
static inline std::size_t packed_triangle_size(std::size_t n) {
    std::size_t size = 0;
    for (std::size_t j0 = 0; j0 < n; j0 += kGroup) {
        const std::size_t width = n - j0 < kGroup ? n - j0 : kGroup;
        size += (j0 + width) * width;
    }
    return size;
}

// Layout of Gaussian mixture statistics in one buffer of doubles:
// [local_bound, entropy, counts (K), sums (K x D), scatter].
struct StatsLayout {
    std::size_t counts, sums, scatter, size;
};

static inline std::size_t scatter_size(Covariance kind, std::size_t k, std::size_t d) {
    switch (kind) {
        case Covariance::full:
            return k * (d * (d + 1) / 2);
        case Covariance::tied:
            return d * (d + 1) / 2;
        case Covariance::diag:
            return k * d;
        case Covariance::spherical:
            return k;
        case Covariance::tied_spherical:
            return 1;
    }
    return 0;
}

static inline StatsLayout stats_layout(Covariance kind, std::size_t k, std::size_t d) {
    StatsLayout layout{};
    layout.counts = 2;
    layout.sums = layout.counts + k;
    layout.scatter = layout.sums + k * d;
    layout.size = layout.scatter + scatter_size(kind, k, d);
    return layout;
}

}  // namespace vemfast::detail
