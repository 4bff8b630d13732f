// Latent Dirichlet allocation fitted under the batch schedule without a driver from outside: the
// loop of batch_loop.hpp, over documents. Gamma, or the topics of tokens, are kept between passes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/batch_loop.hpp"
#include "models/lda.hpp"

namespace vemfast::models {

// Topics that begin as documents, mixed with the words of all: chosen at random, or far apart.
enum class LdaStart : int { spread, documents };

struct LdaFitOptions : LoopOptions {
    LdaFitOptions() : LoopOptions{0, 10, 1, {}} {}  // tol: nats a token

    detail::DocumentRule rule = detail::DocumentRule::factorised;
    ParameterRule parameter_rule = ParameterRule::posterior;
    int max_inner = 100;
    double inner_tol = 1e-3;
    LdaStart start = LdaStart::spread;
    std::vector<double> topics;  // V x K, probabilities: where all begin; empty: by `start`
};

// Fits `model` to the documents, within a PollScope. Throws std::invalid_argument, NumericalError,
// Interrupted.
VEMFAST_API FitState fit_lda(const LatentDirichlet& model, const detail::Documents& documents,
                             const LdaFitOptions& options, std::uint64_t random_state,
                             int n_threads, const Poll& poll);

}  // namespace vemfast::models
