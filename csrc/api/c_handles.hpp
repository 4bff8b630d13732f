// What the functions of the C interface share: a model behind a handle, arguments that are checked,
// and exceptions turned into statuses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <variant>

#include "vemfast/errors.hpp"
#include "vemfast/load.hpp"
#include "vemfast/require.hpp"
#include "vemfast/vemfast.h"

struct vemfast_model {
    vemfast::AnyModel of;
    std::string class_name;

    const vemfast::FittedModel& base() const {
        return std::visit([](const auto& one) -> const vemfast::FittedModel& { return one; }, of);
    }
};

namespace vemfast::api {

// Leaves the message for the calling thread, and returns the status.
vemfast_status fail(vemfast_status status, const char* what) noexcept;

template <class Body>
vemfast_status guarded(Body&& body) noexcept {
    try {
        body();
        return VEMFAST_OK;
    } catch (const vemfast::ModelFileError& error) {
        return fail(VEMFAST_MODEL_FILE, error.what());
    } catch (const vemfast::NumericalError& error) {
        return fail(VEMFAST_NUMERICAL, error.what());
    } catch (const vemfast::Interrupted& error) {
        return fail(VEMFAST_INTERRUPTED, error.what());
    } catch (const std::invalid_argument& error) {
        return fail(VEMFAST_INVALID_ARGUMENT, error.what());
    } catch (const std::system_error& error) {
        return fail(VEMFAST_SYSTEM, error.what());
    } catch (const std::bad_alloc& error) {
        return fail(VEMFAST_OUT_OF_MEMORY, error.what());
    } catch (const std::length_error& error) {  // a size that no memory could have
        return fail(VEMFAST_OUT_OF_MEMORY, error.what());
    } catch (const std::exception& error) {
        return fail(VEMFAST_INTERNAL, error.what());
    } catch (...) {
        return fail(VEMFAST_INTERNAL, "an exception that is no std::exception");
    }
}

template <class T>
void not_null(T* pointer, const char* name) {
    require(pointer != nullptr, name, " is a null pointer");
}

template <class Struct>
void check_struct(const Struct* given, const char* name) {
    not_null(given, name);
    require(given->struct_size == sizeof(Struct), name, "->struct_size is ", given->struct_size,
            ", not ", sizeof(Struct), "; set it to sizeof, as the header says");
}

vemfast::Rows rows_of(const vemfast_rows* rows);
vemfast::WordCounts documents_of(const vemfast_documents* documents);
// Without lengths there is one sequence.
vemfast::Lengths lengths_of(const int64_t* lengths, size_t n_sequences);

// A handle of the model.
std::unique_ptr<vemfast_model> handle_of(vemfast::AnyModel&& model);

struct Call {
    int n_threads = 1;
    vemfast::Poll poll;
};
Call call_of(const vemfast_call* call);

}  // namespace vemfast::api
