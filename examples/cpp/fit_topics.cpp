// Fits topics to documents, and an autoencoder to which words they have; both go through a file.
//
//     fit_topics [folder]

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <vemfast/lda.hpp>
#include <vemfast/random.hpp>
#include <vemfast/vae.hpp>

namespace {

constexpr std::int64_t kWords = 12;

// Documents of 30 tokens, each nearly all out of one third of the words.
struct Corpus {
    std::vector<std::int64_t> starts{0};
    std::vector<std::int32_t> words;
    std::vector<double> counts;
    std::vector<float> has;  // documents x words

    explicit Corpus(int n_documents) {
        vemfast::random::Stream stream(3, 0, 0, 0);
        for (int d = 0; d < n_documents; ++d) {
            std::vector<double> of_word(kWords, 0.0);
            for (int token = 0; token < 30; ++token) {
                const bool own = stream.uniform() < 0.9;
                const double word = own ? d % 3 * 4 + 4 * stream.uniform() : 12 * stream.uniform();
                of_word[static_cast<std::size_t>(word)] += 1;
            }
            for (std::int32_t word = 0; word < kWords; ++word) {
                const double count = of_word[static_cast<std::size_t>(word)];
                has.push_back(count > 0 ? 1.0F : 0.0F);
                if (count == 0)
                    continue;
                words.push_back(word);
                counts.push_back(count);
            }
            starts.push_back(static_cast<std::int64_t>(words.size()));
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    const std::string folder = argc > 1 ? argv[1] : ".";
    try {
        vemfast::check_version();
        constexpr int n = 300;
        const Corpus corpus(n);
        const vemfast::WordCounts documents{corpus.starts, corpus.words, corpus.counts};

        vemfast::FitOptions options;  // by the names of LatentDirichletAllocation in Python
        options.parameters = {{"n_components", 3}, {"max_iter", 30}};
        vemfast::LatentDirichletAllocation::fit(documents, kWords, options)
            .save(folder + "/topics.safetensors");
        const auto topics =
            vemfast::LatentDirichletAllocation::load(folder + "/topics.safetensors");
        const std::vector<double> shares = topics.transform(documents);
        std::printf("topics: %.4f nats; the first document is %.0f %% of its main topic\n",
                    topics.score(documents),
                    100 * *std::max_element(shares.begin(), shares.begin() + 3));

        const vemfast::Rows rows(
            vemfast::MatrixView<const float>{corpus.has.data(), n, kWords, kWords});
        vemfast::FitOptions of_net;
        of_net.parameters = {{"n_components", 2}, {"hidden_layer_sizes", 32}, {"max_iter", 20}};
        vemfast::VariationalAutoencoder::fit(rows, of_net).save(folder + "/net.safetensors");
        const auto net = vemfast::VariationalAutoencoder::load(folder + "/net.safetensors");
        const vemfast::EncodedRows z = net.encode(rows);
        const std::vector<double> means = net.inverse_transform(z.mean);
        std::printf("autoencoder: the first word has probability %.3f in the first document\n",
                    means[0]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
