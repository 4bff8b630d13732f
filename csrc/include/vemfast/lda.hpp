// Fitted topics: LatentDirichletAllocation.
//
//     const auto topics = vemfast::LatentDirichletAllocation::load("topics.safetensors");
//     const auto theta = topics.transform(documents);
//
// Formulas: docs/formulas/lda.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vemfast/fit_options.hpp"
#include "vemfast/model.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast {
inline namespace abi1 {

// Word counts, used in place: document d has the entries starts[d] to starts[d + 1], its words
// ascending, each once, with counts > 0.
struct WordCounts {
    std::span<const std::int64_t> starts;  // n_documents + 1
    std::span<const std::int32_t> words;   // numbers from 0
    std::span<const double> counts;

    std::size_t n_documents() const { return starts.empty() ? 0 : starts.size() - 1; }
};

// All functions over documents throw std::invalid_argument for bad ones; Interrupted; OutOfMemory.
class VEMFAST_API LatentDirichletAllocation : public FittedModel {
  public:
    // Throws ModelFileError (also for another model), or std::system_error.
    static LatentDirichletAllocation load(const std::string& path);
    // Throws std::invalid_argument or ModelFileError, which name the attribute, where they make no
    // model.
    explicit LatentDirichletAllocation(const Attributes& attributes);

    // Fits topics of n_words words under the batch schedule; of several starts the one of highest
    // objective is kept. Parameters: n_components, inference ("mean-field", "variational-em",
    // "hard-em"), doc_topic_prior, topic_word_prior, max_iter, tol, mean_change_tol,
    // max_doc_update_iter, n_init, dtype, topics_init, and init ("spread", "documents"), whose
    // random numbers are not those of Python: the fit is Python's from the same topics_init. Throws
    // std::invalid_argument, NumericalError, Interrupted.
    static LatentDirichletAllocation fit(const WordCounts& documents, std::size_t n_words,
                                         const FitOptions& options, std::uint64_t random_state = 0,
                                         int n_threads = 1, const Poll& poll = {});

    // Fits topics to each corpus, the corpora in parallel: the i-th are those of fit() with
    // random_states[i]. A corpus to which none can be fitted as the options say is reported and
    // stops nothing. Throws std::invalid_argument for n_components that are none, or a callback;
    // Interrupted.
    static ManyFits<LatentDirichletAllocation> fit_many(
        std::span<const WordCounts> corpora, std::size_t n_words, const FitOptions& options,
        std::span<const std::uint64_t> random_states, int n_threads = 1, const Poll& poll = {});

    // Topic proportions, n_documents x n_components: E[theta], or the parameters gamma of q(theta).
    std::vector<double> transform(const WordCounts& documents, bool normalize = true,
                                  int n_threads = 1, const Poll& poll = {}) const;
    // A bound on log p of each document given the topics, nats; -inf for a document with a word
    // that no topic has.
    std::vector<double> score_samples(const WordCounts& documents, int n_threads = 1,
                                      const Poll& poll = {}) const;
    // Their sum.
    double score(const WordCounts& documents, int n_threads = 1, const Poll& poll = {}) const;

    class Engine;

  private:
    friend struct ModelMaker;
    explicit LatentDirichletAllocation(std::shared_ptr<const io::Container> file);

    std::shared_ptr<const Engine> engine_;
};

}  // namespace abi1
}  // namespace vemfast
