#include "api/c_handles.hpp"

#include <cstdio>
#include <utility>

namespace {

// Of fixed size: to tell of a failure must not fail.
thread_local char message[1024] = "";

}  // namespace

const char* vemfast_message(void) {
    return message;
}

namespace vemfast::api {

vemfast_status fail(vemfast_status status, const char* what) noexcept {
    std::snprintf(message, sizeof message, "%s", what);
    return status;
}

vemfast::Rows rows_of(const vemfast_rows* rows) {
    check_struct(rows, "rows");
    require(rows->n_rows >= 0 && rows->n_features >= 1, "rows are ", rows->n_rows, " x ",
            rows->n_features);
    require(rows->n_rows == 0 || rows->data != nullptr, "rows->data is a null pointer");
    vemfast::Rows out;
    out.data = rows->data;
    out.n = rows->n_rows;
    out.n_features = rows->n_features;
    out.row_stride = static_cast<std::ptrdiff_t>(rows->row_stride);
    out.column_stride = static_cast<std::ptrdiff_t>(rows->column_stride);
    out.is_float = rows->is_float != 0;
    if (rows->weights != nullptr)
        out.weights = {rows->weights, rows->n_rows, 1};
    return out;
}

vemfast::WordCounts documents_of(const vemfast_documents* documents) {
    check_struct(documents, "documents");
    require(documents->n_documents >= 0, "n_documents is ", documents->n_documents);
    not_null(documents->starts, "documents->starts");
    const auto n = static_cast<std::size_t>(documents->n_documents);
    const std::int64_t entries = documents->starts[n];
    require(entries >= 0, "documents->starts ends at ", entries);
    const auto n_entries = static_cast<std::size_t>(entries);
    if (n_entries > 0) {
        not_null(documents->words, "documents->words");
        not_null(documents->counts, "documents->counts");
    }
    return {
        {documents->starts, n + 1}, {documents->words, n_entries}, {documents->counts, n_entries}};
}

vemfast::Lengths lengths_of(const int64_t* lengths, size_t n_sequences) {
    if (lengths == nullptr) {
        require(n_sequences == 1,
                "without lengths there is one sequence; got n_sequences=", n_sequences);
        return {};
    }
    require(n_sequences >= 1, "there is no sequence");
    return {lengths, n_sequences};
}

std::unique_ptr<vemfast_model> handle_of(vemfast::AnyModel&& model) {
    std::string name = std::visit([](const auto& one) { return one.class_name(); }, model);
    return std::make_unique<vemfast_model>(vemfast_model{std::move(model), std::move(name)});
}

Call call_of(const vemfast_call* call) {
    if (call == nullptr)
        return {};
    check_struct(call, "call");
    require(call->n_threads >= 1, "n_threads must be >= 1; got ", call->n_threads);
    Call out{call->n_threads, {}};
    if (call->poll != nullptr)
        out.poll = [call] { return call->poll(call->context) != 0; };
    return out;
}

}  // namespace vemfast::api
