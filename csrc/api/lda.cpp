#include "vemfast/lda.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/file.hpp"
#include "api/rows.hpp"
#include "io/schemas.hpp"
#include "models/lda.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

using models::Kind;

const std::vector<std::string_view> kClasses{"LatentDirichletAllocation"};

bool is_true(const io::Container& file, const char* name) {
    const io::Json* value = file.document.find("fitted")->find(name);
    return value != nullptr && value->boolean;
}

}  // namespace

inline namespace abi1 {

class LatentDirichletAllocation::Engine {
  public:
    explicit Engine(const io::Container& file)
        : n_words_(io::n_features_of(file)), alpha_(io::numbers_of(file, "doc_topic_prior_")) {
        const io::Parameters given(file);
        const std::size_t K = alpha_.size();
        pass_.max_inner = static_cast<int>(
            std::min<std::int64_t>(given.integer("max_doc_update_iter", 100, 1), 1 << 30));
        pass_.inner_tol = given.real("mean_change_tol", 1e-3);
        const bool is_float = given.word("dtype", {"float32", "float64"}) == "float32";
        is_posterior_ = is_true(file, "is_posterior_");
        model_ = std::make_unique<const models::LatentDirichlet>(
            K, n_words_, is_float, alpha_, std::vector<double>{1.0}, models::Learn::no, false);
        const std::vector<double> shown =
            io::numbers_of(file, is_posterior_ ? "components_" : "topic_word_");
        params_.reserve(shown.size() + K + 1);
        for (std::size_t w = 0; w < n_words_; ++w) {
            for (std::size_t k = 0; k < K; ++k)
                params_.push_back(shown[k * n_words_ + w]);
        }
        params_.insert(params_.end(), alpha_.begin(), alpha_.end());
        params_.push_back(1.0);
        table_ =
            model_->prepare(is_posterior_ ? Kind::posterior : Kind::point, params_.data(), 1, {});
    }

    std::size_t n_components() const { return alpha_.size(); }

    std::vector<double> proportions(const WordCounts& given, bool normalize, int n_threads,
                                    const Poll& poll) const {
        const Checked documents(*this, given);
        std::vector<double> out(given.n_documents() * n_components());
        models::proportions(table_, documents.view, pass(n_threads), normalize, poll, out.data());
        return out;
    }

    std::vector<double> bounds(const WordCounts& given, int n_threads, const Poll& poll) const {
        const Checked documents(*this, given);
        const std::size_t size = given.n_documents() * n_components();
        std::vector<float> floats(table_.is_float ? size : 0);
        std::vector<double> doubles(table_.is_float ? 0 : size);
        void* const gamma = table_.is_float ? static_cast<void*>(floats.data()) : doubles.data();
        std::vector<double> out(given.n_documents());
        models::infer(table_, documents.view, pass(n_threads), {nullptr, gamma}, poll, out.data());
        return out;
    }

  private:
    // Documents as the model takes them.
    struct Checked {
        Checked(const Engine& engine, const WordCounts& given) {
            engine.check(given);
            floats = as_floats(given);
            view.n_documents = given.n_documents();
            view.indptr = given.starts.data();
            view.indices = given.words.data();
            view.counts_are_float = floats.size() == given.counts.size();
            view.counts = view.counts_are_float ? static_cast<const void*>(floats.data())
                                                : given.counts.data();
        }
        std::vector<float> floats;
        detail::Documents view;
    };

    models::LdaPass pass(int n_threads) const {
        models::LdaPass out = pass_;
        out.n_threads = n_threads;
        return out;
    }

    void check(const WordCounts& given) const {
        require(!given.starts.empty(), "starts is empty; it has one number more than documents");
        require(given.starts.front() == 0, "starts must begin with 0; got ", given.starts.front());
        require(given.words.size() == given.counts.size(), "there are ", given.words.size(),
                " words, but ", given.counts.size(), " counts");
        const auto n_entries = static_cast<std::int64_t>(given.words.size());
        for (std::size_t d = 0; d < given.n_documents(); ++d) {
            const std::int64_t first = given.starts[d];
            const std::int64_t last = given.starts[d + 1];
            require(first <= last && last <= n_entries, "starts must ascend to the ", n_entries,
                    " entries; document ", d, " has ", first, " to ", last);
            std::int64_t before = -1;
            for (std::int64_t i = first; i < last; ++i)
                before = check_entry(given, d, static_cast<std::size_t>(i), before);
        }
        require(given.starts.back() == n_entries, "starts ends at ", given.starts.back(),
                ", but there are ", n_entries, " entries");
    }

    // Returns the entry's word.
    std::int64_t check_entry(const WordCounts& given, std::size_t document, std::size_t entry,
                             std::int64_t before) const {
        const std::int64_t word = given.words[entry];
        const double count = given.counts[entry];
        require(word >= 0 && word < static_cast<std::int64_t>(n_words_), "document ", document,
                " has word ", word, ", but the model knows ", n_words_, " words, from 0");
        require(word > before, "document ", document, " has word ", word, " behind word ", before,
                "; words must ascend, each once");
        require(std::isfinite(count) && count > 0, "document ", document, ", word ", word,
                " has a count of ", count, "; counts must be finite and > 0");
        return word;
    }

    // Counts as floats, where floats hold them exactly.
    static std::vector<float> as_floats(const WordCounts& given) {
        std::vector<float> out(given.counts.begin(), given.counts.end());
        for (std::size_t i = 0; i < out.size(); ++i) {
            if (static_cast<double>(out[i]) != given.counts[i])
                return {};
        }
        return out;
    }

    std::size_t n_words_;
    std::vector<double> alpha_;
    bool is_posterior_ = false;
    std::vector<double> params_;
    models::LdaPass pass_;
    std::unique_ptr<const models::LatentDirichlet> model_;
    models::LdaTable table_;
};

LatentDirichletAllocation::LatentDirichletAllocation(std::shared_ptr<const io::Container> file)
    : FittedModel(std::move(file)), engine_(std::make_shared<const Engine>(*file_)) {}

LatentDirichletAllocation LatentDirichletAllocation::load(const std::string& path) {
    return LatentDirichletAllocation(api::read_file(path, kClasses));
}

LatentDirichletAllocation::LatentDirichletAllocation(const Attributes& attributes)
    : LatentDirichletAllocation(api::make_file(attributes, kClasses)) {}

std::vector<double> LatentDirichletAllocation::transform(const WordCounts& documents,
                                                         bool normalize, int n_threads,
                                                         const Poll& poll) const {
    return engine_->proportions(documents, normalize, n_threads, poll);
}

std::vector<double> LatentDirichletAllocation::score_samples(const WordCounts& documents,
                                                             int n_threads,
                                                             const Poll& poll) const {
    return engine_->bounds(documents, n_threads, poll);
}

double LatentDirichletAllocation::score(const WordCounts& documents, int n_threads,
                                        const Poll& poll) const {
    return api::pairwise_sum(score_samples(documents, n_threads, poll));
}

}  // namespace abi1
}  // namespace vemfast
