// Greedy k-means++ and Lloyd's iterations.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "exec/memory.hpp"
#include "isa/dispatch.hpp"
#include "models/starts.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

namespace {

// Lloyd's iterations end when the sum of squares falls by less than this part of itself.
constexpr double kLeastFall = 1e-4;

// The rows in both orders, and what is known of each.
struct Work {
    Work(const double* rows, std::size_t n_rows, std::size_t D, const double* row_weights,
         std::size_t trials)
        : x(rows), n(n_rows) {
        constexpr std::size_t Q = detail::kClusterRows;
        const std::size_t ld = (n + Q - 1) / Q * Q;
        memory = exec::allocate((D + 3 + trials) * ld * sizeof(double));
        auto* columns = static_cast<double*>(memory.get());
        double* weights = columns + D * ld;
        nearest = weights + ld;
        mass = nearest + ld;
        distances = mass + ld;
        for (std::size_t d = 0; d < D; ++d) {
            double* column = columns + d * ld;
            for (std::size_t i = 0; i < n; ++i)
                column[i] = x[i * D + d];
            std::fill(column + n, column + ld, 0.0);
        }
        std::copy(row_weights, row_weights + n, weights);
        std::fill(weights + n, weights + ld, 0.0);
        std::fill(nearest, nearest + ld, std::numeric_limits<double>::infinity());
        std::copy(weights, weights + ld, mass);
        view = {columns, weights, ld, D};
    }

    const double* x;  // n x D
    std::size_t n;
    exec::Memory memory;
    double* nearest;  // squared distances to the nearest seed
    double* mass;     // weight times that: what seeds are drawn by
    double* distances;
    detail::ClusterRows view{};
};

// The row where the cumulated mass reaches u times the total: whole stretches are passed over.
std::size_t draw(const double* mass, std::size_t n, double total, double u) {
    constexpr std::size_t kStretch = 16;
    const double target = u * total;
    double cumulated = 0;
    for (std::size_t begin = 0; begin < n; begin += kStretch) {
        const std::size_t end = std::min(n, begin + kStretch);
        double sums[4] = {};
        std::size_t i = begin;
        for (; i + 4 <= end; i += 4) {
            for (std::size_t s = 0; s < 4; ++s)
                sums[s] += mass[i + s];
        }
        for (; i < end; ++i)
            sums[0] += mass[i];
        const double behind = cumulated + ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        if (behind >= target) {
            for (i = begin; i < end; ++i) {
                cumulated += mass[i];
                if (mass[i] > 0 && cumulated >= target)
                    return i;
            }
        }
        cumulated = behind;
    }
    // Rounding can leave the sum below the target: the last row of any mass.
    std::size_t last = n - 1;
    while (last > 0 && !(mass[last] > 0))
        --last;
    return last;
}

// One of Lloyd's iterations by masks: few clusters in few features.
double assign_few(const Work& work, std::size_t K, double* sums, double* mass,
                  const double* centres) {
    interruption_point();
    return kernels().mixture.cluster_few(work.view, centres, K, sums, mass);
}

// Any number of clusters and features, and rows whose cluster is known.
double assign(const Work& work, std::size_t K, const std::int32_t* known,
              std::vector<std::size_t>& label, double* sums, double* mass, const double* centres) {
    const std::size_t D = work.view.D;
    for (std::size_t k = 0; k < K; ++k) {
        interruption_point();
        kernels().mixture.distances(work.view, centres + k * D, work.distances);
        for (std::size_t i = 0; i < work.n; ++i) {
            const bool closer = known != nullptr && known[i] >= 0
                                    ? static_cast<std::size_t>(known[i]) == k
                                    : k == 0 || work.distances[i] < work.nearest[i];
            work.nearest[i] = closer ? work.distances[i] : work.nearest[i];
            label[i] = closer ? k : label[i];
        }
    }
    std::fill(sums, sums + K * D, 0.0);
    std::fill(mass, mass + K, 0.0);
    double inertia = 0;
    for (std::size_t i = 0; i < work.n; ++i) {
        const std::size_t k = label[i];
        const double weight = work.view.weights[i];
        inertia += weight * work.nearest[i];
        mass[k] += weight;
        for (std::size_t d = 0; d < D; ++d)
            sums[k * D + d] += weight * work.x[i * D + d];
    }
    return inertia;
}

void lloyd(const Work& work, std::size_t K, int max_iter, const std::int32_t* known,
           double* centres) {
    const std::size_t D = work.view.D;
    const bool few = known == nullptr && K <= detail::kFewClusters && D <= detail::kFewFeatures;
    std::vector<std::size_t> label(few ? 0 : work.n);
    std::vector<double> sums(K * D + K);
    double* mass = sums.data() + K * D;
    double previous = std::numeric_limits<double>::infinity();
    for (int iteration = 0; iteration < max_iter; ++iteration) {
        const double inertia = few ? assign_few(work, K, sums.data(), mass, centres)
                                   : assign(work, K, known, label, sums.data(), mass, centres);
        for (std::size_t k = 0; k < K; ++k) {
            if (!(mass[k] > 0))
                continue;  // an empty cluster keeps its centre
            for (std::size_t d = 0; d < D; ++d)
                centres[k * D + d] = sums[k * D + d] / mass[k];
        }
        if (!(inertia < previous * (1.0 - kLeastFall)))
            return;
        previous = inertia;
    }
}

// The means of the rows of known label, for the clusters that have such rows.
std::vector<bool> known_centres(const Work& work, std::size_t K, const std::int32_t* labels,
                                double* centres) {
    const std::size_t D = work.view.D;
    std::vector<double> mass(K, 0.0);
    std::fill(centres, centres + K * D, 0.0);
    for (std::size_t i = 0; i < work.n; ++i) {
        if (labels[i] < 0)
            continue;
        const auto k = static_cast<std::size_t>(labels[i]);
        mass[k] += work.view.weights[i];
        for (std::size_t d = 0; d < D; ++d)
            centres[k * D + d] += work.view.weights[i] * work.x[i * D + d];
    }
    std::vector<bool> found(K);
    for (std::size_t k = 0; k < K; ++k) {
        found[k] = mass[k] > 0;
        for (std::size_t d = 0; found[k] && d < D; ++d)
            centres[k * D + d] /= mass[k];
    }
    return found;
}

// Centres of the clusters with rows known to be theirs, and no seeds among these rows.
std::vector<bool> take_known(const Work& work, std::size_t K, const std::int32_t* labels,
                             double* centres) {
    std::vector<bool> found = known_centres(work, K, labels, centres);
    bool any = false;
    for (std::size_t k = 0; k < K; ++k) {
        if (!found[k])
            continue;
        any = true;
        kernels().mixture.distances(work.view, centres + k * work.view.D, work.distances);
        for (std::size_t i = 0; i < work.n; ++i)
            work.nearest[i] = std::min(work.nearest[i], work.distances[i]);
    }
    for (std::size_t i = 0; i < work.n; ++i) {
        if (labels[i] >= 0)
            work.nearest[i] = 0;  // no seed
        work.mass[i] = any ? work.view.weights[i] * work.nearest[i] : work.view.weights[i];
    }
    return found;
}

}  // namespace

std::size_t kmeans(const double* x, std::size_t n, std::size_t D, const double* weights,
                   std::size_t K, std::uint64_t seed, int max_iter, double* centres,
                   const std::int32_t* labels) {
    random::Stream stream(seed, 0, random::kStartStream, 0);
    const std::size_t trials = 2 + static_cast<std::size_t>(std::log(static_cast<double>(K)));
    const Work work(x, n, D, weights, trials);
    std::vector<double> candidates(trials * (D + 1));
    double* potentials = candidates.data() + trials * D;
    std::vector<bool> has_known(K, false);
    if (labels != nullptr)
        has_known = take_known(work, K, labels, centres);
    auto distinct = static_cast<std::size_t>(std::count(has_known.begin(), has_known.end(), true));
    double total = std::accumulate(work.mass, work.mass + n, 0.0);
    bool is_first = distinct == 0;
    for (std::size_t k = 0; k < K; ++k) {
        if (has_known[k])
            continue;
        interruption_point();
        const bool covered = !is_first && !(total > 0);  // every row coincides with a centre
        const std::size_t count = is_first ? 1 : trials;
        is_first = false;
        for (std::size_t c = 0; c < count; ++c) {
            const double u = stream.uniform();
            const std::size_t row =
                covered ? std::min(n - 1, static_cast<std::size_t>(u * static_cast<double>(n)))
                        : draw(work.mass, n, total, u);
            std::copy(x + row * D, x + (row + 1) * D, candidates.data() + c * D);
        }
        kernels().mixture.potentials(work.view, work.nearest, candidates.data(), count,
                                     work.distances, potentials);
        const auto best =
            static_cast<std::size_t>(std::min_element(potentials, potentials + count) - potentials);
        std::copy(candidates.data() + best * D, candidates.data() + (best + 1) * D,
                  centres + k * D);
        kernels().mixture.take_seed(work.view, work.distances + best * work.view.n, work.nearest,
                                    work.mass);
        total = potentials[best];
        distinct += covered ? 0 : 1;
    }
    lloyd(work, K, max_iter, labels, centres);
    return distinct;
}

}  // namespace vemfast::models
