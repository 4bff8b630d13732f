// The kernels of latent Dirichlet allocation of this level, as the table wants them.
#include "../isa/lda_kernels.hpp"
#include "lda_draw.hpp"
#include "lda_estep.hpp"
#include "lda_statistics.hpp"
#include "lda_topics.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
constexpr LdaEntry<T> lda_entry() {
    return {&lda_posterior_rows<T>,  &lda_point_rows<T>, &lda_documents<T>,
            &lda_workspace_bytes<T>, &lda_words<T>,      &lda_log_joint<T>};
}

}  // namespace

extern const LdaKernels lda_kernels;
constinit const LdaKernels lda_kernels{lda_entry<float>(), lda_entry<double>(), &lda_predict,
                                       &lda_draw_small};

}  // namespace vemfast::VEMFAST_LEVEL
