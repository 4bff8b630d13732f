#include "api/documents.hpp"

#include <cmath>

#include "vemfast/require.hpp"

namespace vemfast::api {

namespace {

// Returns the entry's word.
std::int64_t check_entry(const WordCounts& given, std::size_t n_words, std::size_t document,
                         std::size_t entry, std::int64_t before) {
    const std::int64_t word = given.words[entry];
    const double count = given.counts[entry];
    require(word >= 0 && word < static_cast<std::int64_t>(n_words), "document ", document,
            " has word ", word, ", but the model knows ", n_words, " words, from 0");
    require(word > before, "document ", document, " has word ", word, " behind word ", before,
            "; words must ascend, each once");
    require(std::isfinite(count) && count > 0, "document ", document, ", word ", word,
            " has a count of ", count, "; counts must be finite and > 0");
    return word;
}

void check(const WordCounts& given, std::size_t n_words) {
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
            before = check_entry(given, n_words, d, static_cast<std::size_t>(i), before);
    }
    require(given.starts.back() == n_entries, "starts ends at ", given.starts.back(),
            ", but there are ", n_entries, " entries");
}

// Counts as floats, where floats hold them exactly.
std::vector<float> as_floats(const WordCounts& given) {
    std::vector<float> out(given.counts.begin(), given.counts.end());
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (static_cast<double>(out[i]) != given.counts[i])
            return {};
    }
    return out;
}

}  // namespace

CheckedDocuments::CheckedDocuments(const WordCounts& given, std::size_t n_words) {
    check(given, n_words);
    floats_ = as_floats(given);
    view_.n_documents = given.n_documents();
    view_.indptr = given.starts.data();
    view_.indices = given.words.data();
    view_.counts_are_float = floats_.size() == given.counts.size();
    view_.counts =
        view_.counts_are_float ? static_cast<const void*>(floats_.data()) : given.counts.data();
}

}  // namespace vemfast::api
