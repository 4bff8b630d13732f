/* Fits a mixture of Gaussians to two clouds of points, saves it, and uses the file.
 *
 *     fit_mixture [file]
 */
#include <stdio.h>
#include <stdlib.h>

#include <vemfast/vemfast.h>

enum { N = 1000, D = 2, K = 2 };

static int failed(const char* what) {
    fprintf(stderr, "%s: %s\n", what, vemfast_message());
    return EXIT_FAILURE;
}

static int told(void* context, int iteration, double objective) {
    (void)context;
    printf("iteration %2d: %.4f nats\n", iteration, objective);
    return 0; /* go on */
}

/* A sum of uniform numbers, nearly normal. */
static double noise(void) {
    double sum = -6.0;
    for (int i = 0; i < 12; ++i)
        sum += rand() / (RAND_MAX + 1.0);
    return sum;
}

static int fit_and_save(const vemfast_rows* rows, const char* path) {
    vemfast_model* model = NULL;
    vemfast_gaussian_mixture_options options;
    vemfast_gaussian_mixture_options_init(&options);
    options.n_components = K;
    options.callback = told;
    if (vemfast_fit_gaussian_mixture(rows, &options, 0, NULL, &model) != VEMFAST_OK)
        return failed("fit");
    const int status = vemfast_save(model, path) == VEMFAST_OK ? EXIT_SUCCESS : failed("save");
    vemfast_free(model);
    return status;
}

static int use(const vemfast_rows* rows, const char* path) {
    static int32_t labels[N];
    double score = 0.0;
    double means[K * D];
    int counts[K] = {0, 0};
    int status = EXIT_SUCCESS;
    vemfast_model* model = NULL;
    if (vemfast_load(path, &model) != VEMFAST_OK)
        return failed("load");
    if (vemfast_predict(model, rows, NULL, labels, N) != VEMFAST_OK ||
        vemfast_score(model, rows, NULL, &score) != VEMFAST_OK ||
        vemfast_array(model, "means_", means, K * D) != VEMFAST_OK) {
        status = failed("use");
    } else {
        for (int i = 0; i < N; ++i)
            ++counts[labels[i]];
        for (int k = 0; k < K; ++k)
            printf("component %d: %d rows, mean (%.2f, %.2f)\n", k, counts[k], means[k * D],
                   means[k * D + 1]);
        printf("%s of vemfast %s: %.6f nats a row\n", vemfast_class_name(model), vemfast_version(),
               score);
    }
    vemfast_free(model);
    return status;
}

int main(int argc, char** argv) {
    const char* path = argc > 1 ? argv[1] : "mixture.safetensors";
    static double x[N * D];
    const vemfast_rows rows = VEMFAST_ROWS(x, N, D);
    if (vemfast_c_abi() != VEMFAST_C_ABI) {
        fprintf(stderr, "compiled for ABI %d, but the library has %d\n", VEMFAST_C_ABI,
                vemfast_c_abi());
        return EXIT_FAILURE;
    }
    for (int i = 0; i < N; ++i) {
        x[D * i] = (i < 300 ? 0.0 : 4.0) + noise();
        x[D * i + 1] = (i < 300 ? 0.0 : 1.0) + 0.5 * noise();
    }
    const int status = fit_and_save(&rows, path);
    return status == EXIT_SUCCESS ? use(&rows, path) : status;
}
