/* The C interface: fitted models from files or from data, for C and whatever calls C.
 *
 *     vemfast_model* model = NULL;
 *     if (vemfast_load("model.safetensors", &model) != VEMFAST_OK)
 *         fprintf(stderr, "%s\n", vemfast_message());
 *     ...
 *     vemfast_free(model);
 *
 * Every function that can fail returns a status, and leaves a message for the calling thread.
 * Nothing throws, and nothing but that message is shared between calls. A model does not change:
 * several threads may use one at once. Outputs are the caller's; each comes with its number of
 * elements, which must be what the function writes. They are undefined after a failure.
 *
 * This is the stable interface: a program that was compiled with VEMFAST_C_ABI runs with any
 * library for which vemfast_c_abi() returns the same number. Structs (but vemfast_parameter, an
 * element of vemfast_fit_options) begin with their own size, which is checked: one that grows gets
 * the library another number. The numbers are those of Python, bit for bit (see the C++ headers,
 * which these functions call, for where they are not). Distances are counted in elements.
 */
#ifndef VEMFAST_VEMFAST_H
#define VEMFAST_VEMFAST_H

#include <stddef.h>
#include <stdint.h>

#if !defined(VEMFAST_API)
#if defined(_WIN32)
#define VEMFAST_API
#else
#define VEMFAST_API __attribute__((visibility("default")))
#endif
#endif

#define VEMFAST_C_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vemfast_status {
    VEMFAST_OK = 0,
    VEMFAST_INVALID_ARGUMENT = 1, /* a null pointer, a wrong size, NaN, a model of another kind */
    VEMFAST_MODEL_FILE = 2,       /* damaged, inconsistent, or of a newer version */
    VEMFAST_SYSTEM = 3,           /* a file cannot be read or written */
    VEMFAST_NUMERICAL = 4,        /* the arithmetic of a fit broke down */
    VEMFAST_INTERRUPTED = 5,      /* the caller's poll asked for it */
    VEMFAST_OUT_OF_MEMORY = 6,
    VEMFAST_INTERNAL = 7
} vemfast_status;

/* VEMFAST_C_ABI of the library that runs, and its version, such as "0.1.0". */
VEMFAST_API int vemfast_c_abi(void);
VEMFAST_API const char* vemfast_version(void);

/* What the last failure of the calling thread was; "" before there was one. Valid until its next
 * failure. */
VEMFAST_API const char* vemfast_message(void);

/* ---- models ---------------------------------------------------------------------------------- */

typedef struct vemfast_model vemfast_model;

/* A model of any class from a file of vemfast. On failure *out is NULL. */
VEMFAST_API vemfast_status vemfast_load(const char* path, vemfast_model** out);
VEMFAST_API vemfast_status vemfast_save(const vemfast_model* model, const char* path);
VEMFAST_API void vemfast_free(vemfast_model* model); /* NULL is fine */

/* "GaussianMixture", "GaussianHMM", ...; valid as long as the model. NULL of NULL. */
VEMFAST_API const char* vemfast_class_name(const vemfast_model* model);
VEMFAST_API size_t vemfast_n_features(const vemfast_model* model);   /* 0 of NULL */
VEMFAST_API size_t vemfast_n_components(const vemfast_model* model); /* 0 of NULL */

/* An attribute that is an array, by its name in Python, such as "means_". Its shape goes to `shape`
 * (room for `capacity` lengths; NULL: not wanted), the number of its dimensions to *n_dimensions
 * and of its elements to *size (either may be NULL). */
VEMFAST_API vemfast_status vemfast_array_shape(const vemfast_model* model, const char* name,
                                               int64_t* shape, size_t capacity,
                                               size_t* n_dimensions, size_t* size);
/* Its numbers, the last index fastest. */
VEMFAST_API vemfast_status vemfast_array(const vemfast_model* model, const char* name, double* out,
                                         size_t n_out);

/* ---- data and calls -------------------------------------------------------------------------- */

/* Rows, used in place. Element (i, j) lies at data[i * row_stride + j * column_stride]. Begin with
 * VEMFAST_ROWS(data, n_rows, n_features) where the rows lie one behind the other. */
typedef struct vemfast_rows {
    size_t struct_size;
    const void* data;
    int64_t n_rows;
    int64_t n_features;
    int64_t row_stride;
    int64_t column_stride;
    int is_float;          /* data are floats, not doubles */
    const double* weights; /* n_rows (of fits of chains n_sequences), or NULL: one each */
} vemfast_rows;

#define VEMFAST_ROWS(data, n_rows, n_features) \
    {sizeof(vemfast_rows), (data), (n_rows), (n_features), (n_features), 1, 0, (const double*)0}

/* Word counts: document d has the entries starts[d] to starts[d + 1], its words ascending. */
typedef struct vemfast_documents {
    size_t struct_size;
    int64_t n_documents;
    const int64_t* starts; /* n_documents + 1; the last is the number of entries */
    const int32_t* words;
    const double* counts;
} vemfast_documents;

/* How a call runs; a null pointer means one thread that is not interrupted. Results do not depend
 * on it. */
typedef struct vemfast_call {
    size_t struct_size;
    int n_threads;
    int (*poll)(void* context); /* returns 1 to stop; asked on the calling thread; or NULL */
    void* context;
} vemfast_call;

/* ---- mixtures -------------------------------------------------------------------------------- */

/* The component of each row (n_rows). */
VEMFAST_API vemfast_status vemfast_predict(const vemfast_model* model, const vemfast_rows* rows,
                                           const vemfast_call* call, int32_t* out, size_t n_out);
/* p(component | row) (n_rows x n_components). */
VEMFAST_API vemfast_status vemfast_predict_proba(const vemfast_model* model,
                                                 const vemfast_rows* rows, const vemfast_call* call,
                                                 double* out, size_t n_out);
/* Log densities of the rows (n_rows), nats; and their mean (one number). */
VEMFAST_API vemfast_status vemfast_score_samples(const vemfast_model* model,
                                                 const vemfast_rows* rows, const vemfast_call* call,
                                                 double* out, size_t n_out);
VEMFAST_API vemfast_status vemfast_score(const vemfast_model* model, const vemfast_rows* rows,
                                         const vemfast_call* call, double* out);

/* ---- chains: rows are the steps of all sequences; lengths == NULL: a single one ----------------
 */

/* Best paths: the states of all steps (n_rows), and the log joint of each sequence (n_sequences;
 * log_joint may be NULL). */
VEMFAST_API vemfast_status vemfast_decode(const vemfast_model* model, const vemfast_rows* rows,
                                          const int64_t* lengths, size_t n_sequences,
                                          const vemfast_call* call, int32_t* states,
                                          size_t n_states, double* log_joint);
/* p(state of the step | its sequence) (n_rows x n_components). */
VEMFAST_API vemfast_status vemfast_posteriors(const vemfast_model* model, const vemfast_rows* rows,
                                              const int64_t* lengths, size_t n_sequences,
                                              const vemfast_call* call, double* out, size_t n_out);
/* log p of each sequence (n_sequences), nats. */
VEMFAST_API vemfast_status vemfast_score_sequences(const vemfast_model* model,
                                                   const vemfast_rows* rows, const int64_t* lengths,
                                                   size_t n_sequences, const vemfast_call* call,
                                                   double* out, size_t n_out);

/* ---- topics ---------------------------------------------------------------------------------- */

/* Topic proportions (n_documents x n_components). */
VEMFAST_API vemfast_status vemfast_transform_documents(const vemfast_model* model,
                                                       const vemfast_documents* documents,
                                                       const vemfast_call* call, double* out,
                                                       size_t n_out);
/* Bounds on log p of each document (n_documents), nats. */
VEMFAST_API vemfast_status vemfast_score_documents(const vemfast_model* model,
                                                   const vemfast_documents* documents,
                                                   const vemfast_call* call, double* out,
                                                   size_t n_out);

/* ---- autoencoders ---------------------------------------------------------------------------- */

/* Means of q(z | row) (n_rows x n_components). */
VEMFAST_API vemfast_status vemfast_transform(const vemfast_model* model, const vemfast_rows* rows,
                                             const vemfast_call* call, double* out, size_t n_out);
/* Means of p(row | z) (n x n_features) of n z (n x n_components). */
VEMFAST_API vemfast_status vemfast_inverse_transform(const vemfast_model* model, const float* z,
                                                     size_t n, const vemfast_call* call,
                                                     double* out, size_t n_out);

/* ---- fits ------------------------------------------------------------------------------------ */

typedef enum vemfast_covariance {
    VEMFAST_FULL = 0,
    VEMFAST_TIED = 1,
    VEMFAST_DIAG = 2,
    VEMFAST_SPHERICAL = 3,
    VEMFAST_TIED_SPHERICAL = 4
} vemfast_covariance;

typedef enum vemfast_inference {
    VEMFAST_EM = 0,
    VEMFAST_HARD_EM = 1,
    VEMFAST_MEAN_FIELD = 2,
    VEMFAST_VARIATIONAL_EM = 3 /* of a mixture em, by another name */
} vemfast_inference;

/* Meaning and defaults as of GaussianMixture in Python. Fill it by
 * vemfast_gaussian_mixture_options_init, and change what is to differ. */
typedef struct vemfast_gaussian_mixture_options {
    size_t struct_size;
    int n_components;
    int covariance_type; /* vemfast_covariance */
    int inference;       /* vemfast_inference */
    int max_iter;
    int n_init;
    int equal_weights;
    int dirichlet_process;
    double tol;
    double reg_covar;
    double weight_concentration_prior; /* NaN: the default */
    double mean_precision_prior;       /* NaN: the default */
    double degrees_of_freedom_prior;   /* NaN: the default */
    /* Called after each E-step on the calling thread; returns 1 to stop; or NULL. */
    int (*callback)(void* context, int iteration, double objective);
    void* context;
} vemfast_gaussian_mixture_options;

VEMFAST_API void vemfast_gaussian_mixture_options_init(vemfast_gaussian_mixture_options* options);

/* A GaussianMixture fitted to the rows. On failure *out is NULL. */
VEMFAST_API vemfast_status vemfast_fit_gaussian_mixture(
    const vemfast_rows* rows, const vemfast_gaussian_mixture_options* options,
    uint64_t random_state, const vemfast_call* call, vemfast_model** out);

/* A constructor's parameter of a class in Python, by its name: a word, a number (n_dimensions 0; a
 * truth is 0 or 1), or an array, the last index fastest. */
typedef struct vemfast_parameter {
    const char* name;
    const char* word;     /* NULL: numbers */
    const double* values; /* NULL: a word */
    const int64_t* shape; /* n_dimensions lengths */
    size_t n_dimensions;
} vemfast_parameter;

/* How a model of any class is fitted. Defaults are Python's; a parameter that a fit without Python
 * does not take is an error, which lists those that it takes. From the same start the fit is that
 * of Python, bit for bit (of autoencoders but for the last bits of the first weights). */
typedef struct vemfast_fit_options {
    size_t struct_size;
    const char* class_name; /* "PoissonMixture", "GaussianHMM", ... */
    const vemfast_parameter* parameters;
    size_t n_parameters;
    /* Called after each E-step (of autoencoders, each pass) on the calling thread; returns 1 to
     * stop; or NULL. */
    int (*callback)(void* context, int iteration, double objective);
    void* context;
} vemfast_fit_options;

/* A mixture, a chain or an autoencoder fitted to rows. lengths and n_sequences are of chains (and
 * then weights one a sequence); else NULL and 1. On failure *out is NULL. */
VEMFAST_API vemfast_status vemfast_fit(const vemfast_fit_options* options, const vemfast_rows* rows,
                                       const int64_t* lengths, size_t n_sequences,
                                       uint64_t random_state, const vemfast_call* call,
                                       vemfast_model** out);

/* Topics fitted to documents of n_words words. */
VEMFAST_API vemfast_status vemfast_fit_documents(const vemfast_fit_options* options,
                                                 const vemfast_documents* documents, size_t n_words,
                                                 uint64_t random_state, const vemfast_call* call,
                                                 vemfast_model** out);

/* A mixture, a chain or an autoencoder fitted to each of n_sets data sets, in parallel: the i-th as
 * vemfast_fit with random_states[i] would. Of chains lengths[i] are n_sequences[i] lengths; both
 * NULL: each data set is one sequence. No callback. out[i] is NULL where a fit failed, which stops
 * nothing: the status is VEMFAST_OK, *n_failed (or NULL) says how many, and the message is on the
 * first. */
VEMFAST_API vemfast_status vemfast_fit_many(const vemfast_fit_options* options,
                                            const vemfast_rows* data, size_t n_sets,
                                            const int64_t* const* lengths,
                                            const size_t* n_sequences,
                                            const uint64_t* random_states, const vemfast_call* call,
                                            vemfast_model** out, size_t* n_failed);

/* Topics fitted to each of n_sets corpora of the same n_words words, likewise. */
VEMFAST_API vemfast_status vemfast_fit_many_documents(const vemfast_fit_options* options,
                                                      const vemfast_documents* corpora,
                                                      size_t n_sets, size_t n_words,
                                                      const uint64_t* random_states,
                                                      const vemfast_call* call, vemfast_model** out,
                                                      size_t* n_failed);

#ifdef __cplusplus
}
#endif

#endif
