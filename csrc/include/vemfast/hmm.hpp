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
    explicit HiddenMarkov(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
