// Fits a mixture of Gaussians to two clouds of points, saves it, and uses the file.
//
//     fit_mixture [file]

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <vemfast/fit.hpp>
#include <vemfast/mixture.hpp>
#include <vemfast/random.hpp>

int main(int argc, char** argv) {
    const std::string path = argc > 1 ? argv[1] : "mixture.safetensors";
    try {
        vemfast::check_version();

        // 300 points about (0, 0), 700 about (4, 1).
        constexpr int n = 1000;
        std::vector<double> x;
        vemfast::random::Stream stream(7, 0, 0, 0);
        for (int i = 0; i < n; ++i) {
            x.push_back((i < 300 ? 0.0 : 4.0) + stream.normal());
            x.push_back((i < 300 ? 0.0 : 1.0) + 0.5 * stream.normal());
        }
        const vemfast::Rows rows(vemfast::MatrixView<const double>{x.data(), n, 2, 2});

        vemfast::GaussianMixtureOptions options;
        options.n_components = 2;
        options.callback = [](const vemfast::FitProgress& now) {
            std::printf("iteration %2d: %.4f nats\n", now.iteration, now.objective);
            return false;  // go on
        };
        const vemfast::GaussianMixtureFit fit = vemfast::fit(rows, options, 0, 2);
        for (std::size_t k = 0; k < 2; ++k)
            std::printf("component %zu: weight %.3f, mean (%.2f, %.2f)\n", k, fit.weights[k],
                        fit.means[2 * k], fit.means[2 * k + 1]);

        // Python's vemfast.load reads this file, too.
        const vemfast::Mixture model(fit, options);
        model.save(path);
        const auto loaded = vemfast::Mixture::load(path);
        std::printf("%.6f nats a row; the file says %s\n", model.score(rows),
                    loaded.predict(rows) == model.predict(rows) ? "the same" : "ANOTHER THING");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
