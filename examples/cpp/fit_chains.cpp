// Fits a hidden Markov model of counts to one long series, and one to each of many short ones.
//
//     fit_chains [file]

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <vemfast/hmm.hpp>
#include <vemfast/random.hpp>

namespace {

// Counts about 2 and about 12, changing every 25 steps or so.
std::vector<double> series(std::uint64_t seed, int n) {
    vemfast::random::Stream stream(seed, 0, 0, 0);
    std::vector<double> out;
    bool busy = false;
    for (int t = 0; t < n; ++t) {
        busy = stream.uniform() < 0.04 ? !busy : busy;
        int events = 0;  // of a Poisson process, by its waiting times
        for (double left = busy ? 12.0 : 2.0; (left -= stream.gamma(1.0)) > 0;)
            ++events;
        out.push_back(events);
    }
    return out;
}

vemfast::Rows rows_of(const std::vector<double>& counts) {
    const auto n = static_cast<std::int64_t>(counts.size());
    return vemfast::Rows(vemfast::MatrixView<const double>{counts.data(), n, 1, 1});
}

}  // namespace

int main(int argc, char** argv) {
    try {
        vemfast::check_version();

        vemfast::FitOptions options;  // by the names of PoissonHMM in Python
        options.parameters = {{"n_components", 2}, {"n_iter", 50}, {"sticky", 5.0}};
        options.arrays["startprob_init"] = {{2}, {0.5, 0.5}};
        options.callback = [](const vemfast::FitProgress& now) {
            std::printf("iteration %2d: %.4f nats\n", now.iteration, now.objective);
            return false;  // go on
        };
        const std::vector<double> counts = series(1, 2000);
        const auto model = vemfast::HiddenMarkov::fit("PoissonHMM", rows_of(counts), {}, options);
        const auto rates = model.array("lambdas_").values;
        std::printf("rates %.2f and %.2f\n", rates[0], rates[1]);
        const auto best = model.decode(rows_of(counts));
        std::printf("log joint of the best path: %.4f\n", best.log_joint[0]);
        model.save(argc > 1 ? argv[1] : "chain.safetensors");

        options.callback = nullptr;
        std::vector<std::vector<double>> many;
        std::vector<vemfast::Rows> data;
        std::vector<std::uint64_t> random_states;
        for (std::uint64_t i = 0; i < 100; ++i) {
            many.push_back(series(2 + i, 200));
            random_states.push_back(i);
        }
        for (const auto& one : many)
            data.push_back(rows_of(one));
        const auto fits =
            vemfast::HiddenMarkov::fit_many("PoissonHMM", data, {}, options, random_states, 2);
        std::printf("%zu of %zu fitted\n", fits.models.size() - fits.failures.size(), many.size());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
