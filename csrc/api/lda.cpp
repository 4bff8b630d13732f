#include "vemfast/lda.hpp"

#include <algorithm>
#include <utility>

#include "api/documents.hpp"
#include "api/file.hpp"
#include "io/schemas.hpp"
#include "math/pairwise_sum.hpp"
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
        const api::CheckedDocuments documents(given, n_words_);
        std::vector<double> out(given.n_documents() * n_components());
        models::proportions(table_, documents.view(), pass(n_threads), normalize, poll, out.data());
        return out;
    }

    std::vector<double> bounds(const WordCounts& given, int n_threads, const Poll& poll) const {
        const api::CheckedDocuments documents(given, n_words_);
        const std::size_t size = given.n_documents() * n_components();
        std::vector<float> floats(table_.is_float ? size : 0);
        std::vector<double> doubles(table_.is_float ? 0 : size);
        void* const gamma = table_.is_float ? static_cast<void*>(floats.data()) : doubles.data();
        std::vector<double> out(given.n_documents());
        models::infer(table_, documents.view(), pass(n_threads), {nullptr, gamma}, poll,
                      out.data());
        return out;
    }

  private:
    models::LdaPass pass(int n_threads) const {
        models::LdaPass out = pass_;
        out.n_threads = n_threads;
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
    return detail::pairwise_sum(score_samples(documents, n_threads, poll));
}

}  // namespace abi1
}  // namespace vemfast
