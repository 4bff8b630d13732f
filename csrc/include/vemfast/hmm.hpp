// Fitted hidden Markov models: GaussianHMM, CategoricalHMM, BernoulliHMM, PoissonHMM and GMMHMM.
//
//     const auto model = vemfast::HiddenMarkov::load("model.safetensors");
//     const auto best = model.decode(rows, lengths);   // Viterbi
//
// Rows are the steps of all sequences, one sequence behind the other, and `lengths` says how many
// steps each has (none: a single sequence). They hold numbers of the family, as of a mixture.
// Formulas: docs/formulas/hmm.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vemfast/fit.hpp"
#include "vemfast/fit_options.hpp"
#include "vemfast/model.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast {
inline namespace abi1 {

using Lengths = std::span<const std::int64_t>;

struct DecodedPaths {
    std::vector<std::int32_t> states;  // of all steps
    std::vector<double> log_joint;     // of each sequence and its path, nats
};

// All functions over rows throw std::invalid_argument for bad rows or lengths and for a sequence
// that is impossible under the model; Interrupted; OutOfMemory.
class VEMFAST_API HiddenMarkov : public FittedModel {
  public:
    // Throws ModelFileError (also for a model that is no chain), or std::system_error.
    static HiddenMarkov load(const std::string& path);
    // Throws std::invalid_argument or ModelFileError, which name the attribute, where they make no
    // model.
    explicit HiddenMarkov(const Attributes& attributes);

    // Fits a chain of a class, "PoissonHMM" or another, under the batch schedule; of several starts
    // the one of highest objective is kept. The weights of the rows, if there are any, are one a
    // sequence. Parameters of all: n_components, inference ("em", "variational-em", "hard-em",
    // "mean-field"), tol, n_iter, n_init, init_params ("kmeans", "k-means++"), startprob_init,
    // transmat_init, startprob_prior, transmat_prior, sticky, startprob_support, transmat_support,
    // missing ("error", "marginalize": NaN is a missing value), and the family's starts and priors;
    // of GMMHMM also n_mix, weights_init, weights_prior (by "em" and "hard-em"). Throws
    // std::invalid_argument, NumericalError, Interrupted.
    static HiddenMarkov fit(const std::string& class_name, const Rows& rows, Lengths lengths,
                            const FitOptions& options, std::uint64_t random_state = 0,
                            int n_threads = 1, const Poll& poll = {});

    // Fits one to each data set, the data sets in parallel: the i-th is that of fit() with
    // lengths[i] (no lengths at all: one sequence each) and random_states[i]. A data set that
    // cannot be fitted as the options say is reported and stops nothing. Throws
    // std::invalid_argument for another class, n_components that are none, or a callback;
    // Interrupted.
    static ManyFits<HiddenMarkov> fit_many(const std::string& class_name,
                                           std::span<const Rows> data,
                                           std::span<const Lengths> lengths,
                                           const FitOptions& options,
                                           std::span<const std::uint64_t> random_states,
                                           int n_threads = 1, const Poll& poll = {});

    // The best path of each sequence.
    DecodedPaths decode(const Rows& rows, Lengths lengths = {}, int n_threads = 1,
                        const Poll& poll = {}) const;
    // p(state of the step | whole sequence), n_steps x n_components.
    std::vector<double> posteriors(const Rows& rows, Lengths lengths = {}, int n_threads = 1,
                                   const Poll& poll = {}) const;
    // log p of each sequence, nats; -inf for an impossible one.
    std::vector<double> score_sequences(const Rows& rows, Lengths lengths = {}, int n_threads = 1,
                                        const Poll& poll = {}) const;
    // Their sum.
    double score(const Rows& rows, Lengths lengths = {}, int n_threads = 1,
                 const Poll& poll = {}) const;

    class Engine;

  private:
    friend struct ModelMaker;
    explicit HiddenMarkov(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
