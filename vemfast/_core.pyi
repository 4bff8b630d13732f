from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

_Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_Doubles: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

__version__: str

# bind_config.cpp
def build_info() -> dict[str, Any]: ...
def max_threads() -> int: ...

# bind_special.cpp: contiguous native float32 or float64 arrays
class special:  # noqa: N801
    @staticmethod
    def exp(x: _Array) -> _Array: ...
    @staticmethod
    def exp_nonpositive(x: _Array) -> _Array: ...
    @staticmethod
    def log(x: _Array) -> _Array: ...
    @staticmethod
    def digamma(x: _Array) -> _Array: ...
    @staticmethod
    def exp_digamma(x: _Array) -> _Array: ...
    @staticmethod
    def lgamma(x: _Array) -> _Array: ...
    @staticmethod
    def logsumexp(x: _Array) -> _Array: ...
    @staticmethod
    def scalar_digamma(x: float, /) -> float: ...
    @staticmethod
    def scalar_lgamma(x: float, /) -> float: ...
    @staticmethod
    def multivariate_digamma(x: float, dimension: int, /) -> float: ...
    @staticmethod
    def multivariate_lgamma(x: float, dimension: int, /) -> float: ...

# bind_random.cpp
class random:  # noqa: N801
    @staticmethod
    def philox(counter: Sequence[int], key: int) -> list[int]: ...
    @staticmethod
    def uniform(seed: int, iteration: int, row: int, stream: int) -> float: ...
    @staticmethod
    def uniforms(seed: int, iteration: int, first_row: int, stream: int, count: int) -> _Array: ...

    class Stream:
        def __init__(self, seed: int, iteration: int, stream: int, index: int) -> None: ...
        def uniform(self) -> float: ...
        def normal(self) -> float: ...
        def gamma(self, shape: float) -> float: ...
        def log_gamma_draw(self, shape: float) -> float: ...
        def log_gamma_of_small(self, shape: float) -> float: ...
        def chi2(self, degrees_of_freedom: float) -> float: ...
        def dirichlet(self, concentration: _Array) -> _Array: ...
        def normals(self, count: int) -> _Array: ...
        def gammas(self, shape: float, count: int) -> _Array: ...

# bind_mixture.cpp
class ScoreTable: ...

class GaussianMixture:
    def __init__(
        self,
        *,
        n_components: int,
        n_features: int,
        covariance_type: str,
        weight_type: str,
        weight_concentration: float,
        mean_precision: float,
        mean: _Doubles,
        covariance_is_proper: bool,
        degrees_of_freedom: float,
        scale: _Doubles,
        origin: _Doubles,
        column_scale: _Doubles,
        reg_covar: float,
        marginalize: bool = False,
        keeps_means: bool = False,
    ) -> None: ...
    def prepare(self, kind: str, params: _Doubles, /) -> ScoreTable: ...
    def predictive(self, params: _Doubles, /) -> ScoreTable: ...
    def update(
        self,
        rule: str,
        previous_kind: str,
        previous: _Doubles | None,
        stats: _Doubles,
        seed: int,
        iteration: int,
        /,
    ) -> _Doubles: ...
    def iterate(
        self,
        kind: str,
        params: _Doubles,
        stats: _Doubles | None,
        X: _Array,
        weights: _Doubles | None,
        offset: int,
        local_rule: str,
        parameter_rule: str,
        seed: int,
        iteration: int,
        n_threads: int,
        /,
    ) -> tuple[_Doubles, _Doubles, float] | None: ...
    def global_term(self, kind: str, params: _Doubles, /) -> float: ...
    def expected_log_joint(self, kind: str, params: _Doubles, stats: _Doubles, /) -> float: ...
    def mean_weights(self, params: _Doubles, /) -> _Doubles: ...
    def precision_factors(self, params: _Doubles, /) -> _Doubles: ...
    def at_edge(self, params: _Doubles, /) -> list[int]: ...

def mixture_e_step(
    table: ScoreTable,
    statistics: str,
    X: _Array,
    weights: _Doubles | None,
    labels: _Array | None,
    offset: int,
    rule: str,
    seed: int,
    iteration: int,
    n_threads: int,
    /,
) -> _Doubles: ...
def mixture_given_step(
    table: ScoreTable,
    statistics: str,
    X: _Array,
    weights: _Doubles | None,
    labels: _Array | None,
    responsibilities: _Doubles,
    n_threads: int,
    /,
) -> _Doubles: ...
def mixture_assign(table: ScoreTable, X: _Array, output: str, n_threads: int, /) -> _Array: ...
def mixture_impute(table: ScoreTable, X: _Array, out: _Doubles, n_threads: int, /) -> None: ...
def nearest_table(
    centres: _Doubles, metric: _Doubles, origin: _Doubles, marginalize: bool = False
) -> ScoreTable: ...
def mixture_block_rows(n_features: int, n_components: int, is_float: bool, /) -> int: ...
def discrete_start_table(
    rows: _Doubles,
    weights: _Doubles,
    labels: _Array | None,
    usual: _Doubles,
    n_components: int,
    roots: bool,
    seed: int,
    lloyd: int,
    /,
) -> _Doubles: ...
def fit_gaussian_series(
    model: HiddenMarkov,
    X: _Array,
    lengths: _Array,
    sets: _Array,
    weights: _Doubles | None,
    random_states: _Array,
    n_threads: int,
    **options: Any,
) -> dict[str, Any]: ...
def fit_discrete_mixtures(
    model: DiscreteMixture,
    rows: _Array,
    base: _Doubles | None,
    is_float: bool,
    sets: _Array,
    weights: _Doubles | None,
    random_states: _Array,
    n_threads: int,
    **options: Any,
) -> dict[str, Any]: ...
def fit_discrete_series(
    model: HiddenMarkov,
    rows: _Array,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    sets: _Array,
    weights: _Doubles | None,
    random_states: _Array,
    n_threads: int,
    **options: Any,
) -> dict[str, Any]: ...
def kmeans_plusplus(
    X: _Doubles,
    weights: _Doubles,
    n_clusters: int,
    seed: int,
    max_iter: int,
    labels: _Array | None = None,
) -> tuple[_Doubles, int]: ...
def start_centres(
    X: _Array,
    weights: _Doubles | None,
    origin: _Doubles,
    metric: _Doubles,
    n_clusters: int,
    seed: int,
    max_iter: int,
    /,
) -> _Doubles: ...
def scan_rows(
    X: _Array, weights: _Doubles | None, n_threads: int, marginalize: bool, /
) -> tuple[int, float, int, _Doubles, _Doubles]: ...

scan_leaf_rows: int

def scan_sums(
    X: _Array, weights: _Doubles | None, centre: _Doubles, n_threads: int, marginalize: bool, /
) -> _Doubles: ...
def scan_mean(first: _Doubles, /) -> _Doubles: ...
def scan_moments(second: _Doubles, centre: _Doubles, /) -> tuple[_Doubles, _Doubles]: ...
def find_extremes(X: _Array, centre: _Doubles, marginalize: bool, /) -> tuple[int, float, int]: ...

# bind_discrete.cpp: rows are a matrix of bits, codes or counts, or a CSR matrix in three arrays
# (indptr, indices, and values or None)
_Rows: TypeAlias = _Array | tuple[_Array, _Array, _Array | None]

class IndexedTable: ...

class DiscreteMixture:
    def __init__(
        self,
        *,
        family: str,
        n_components: int,
        n_features: int,
        n_indexed: int,
        column_offsets: np.ndarray[Any, np.dtype[np.int64]],
        weight_type: str,
        weight_concentration: float,
        prior_proper: bool,
        prior_a: _Doubles,
        prior_b: _Doubles,
        marginalize: bool,
    ) -> None: ...
    def prepare(self, kind: str, params: _Doubles, /) -> IndexedTable: ...
    def update(
        self,
        rule: str,
        previous_kind: str,
        previous: _Doubles | None,
        stats: _Doubles,
        seed: int,
        iteration: int,
        /,
    ) -> _Doubles: ...
    def global_term(self, kind: str, params: _Doubles, /) -> float: ...
    def expected_log_joint(self, kind: str, params: _Doubles, stats: _Doubles, /) -> float: ...
    def mean_weights(self, params: _Doubles, /) -> _Doubles: ...

def indexed_e_step(
    table: IndexedTable,
    rows: _Rows,
    is_float: bool,
    weights: _Doubles | None,
    base: _Doubles | None,
    labels: _Array | None,
    offset: int,
    rule: str,
    seed: int,
    iteration: int,
    n_threads: int,
    /,
) -> _Doubles: ...
def indexed_given_step(
    table: IndexedTable,
    rows: _Rows,
    is_float: bool,
    weights: _Doubles | None,
    base: _Doubles | None,
    labels: _Array | None,
    responsibilities: _Doubles,
    n_threads: int,
    /,
) -> _Doubles: ...
def indexed_assign(
    table: IndexedTable,
    rows: _Rows,
    is_float: bool,
    base: _Doubles | None,
    output: str,
    n_threads: int,
    /,
) -> _Array: ...
def indexed_log_base_measure(rows: _Rows, n_features: int, n_threads: int, /) -> _Doubles: ...
def indexed_block_rows(n_indexed: int, n_components: int, is_float: bool, /) -> int: ...

# bind_fit.cpp
class DataSets:
    def __init__(
        self,
        data: Any,
        weights: Any,
        convert: Callable[[Any], _Array],
        convert_weights: Callable[[Any, int, Any], _Doubles | None],
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def failures(self) -> list[tuple[int, str]]: ...

def fit_many(
    data: DataSets,
    random_states: _Array,
    n_threads: int,
    *,
    n_components: int,
    covariance_type: str,
    inference: str,
    tol: float,
    max_iter: int,
    n_init: int,
    reg_covar: float,
    start: str,
    weights_init: _Doubles | None,
    means_init: _Doubles | None,
    covariances_init: _Doubles | None,
    equal_weights: bool,
    dirichlet_process: bool,
    weight_concentration_prior: float | None,
    mean_precision_prior: float | None,
    mean_prior: _Doubles | None,
    degrees_of_freedom_prior: float | None,
    covariance_prior: _Doubles | None,
) -> dict[str, Any]: ...

# bind_lda.cpp: documents are indptr (int64), indices (int32) and counts (float32 or float64)
class LdaTable: ...

class LatentDirichlet:
    def __init__(
        self,
        *,
        n_components: int,
        n_words: int,
        precision: str,
        alpha: _Doubles,
        eta: _Doubles,
        learn_alpha: str | None,
        learn_eta: bool,
    ) -> None: ...
    def prepare(self, kind: str, params: _Doubles, n_threads: int, /) -> LdaTable: ...
    def update(
        self,
        rule: str,
        previous_kind: str,
        previous: _Doubles | None,
        stats: _Doubles,
        seed: int,
        iteration: int,
        n_threads: int,
        /,
    ) -> _Doubles: ...
    def global_term(self, kind: str, params: _Doubles, n_threads: int, /) -> float: ...
    def expected_log_joint(
        self, kind: str, params: _Doubles, stats: _Doubles, n_threads: int, /
    ) -> float: ...

class LdaOnline:
    def __init__(
        self,
        model: LatentDirichlet,
        rule: str,
        params: _Doubles,
        stats: _Doubles,
        n_threads: int,
        /,
    ) -> None: ...
    def batch(
        self,
        indptr: _Array,
        indices: _Array,
        counts: _Array,
        weights: _Doubles | None,
        rule: str,
        iteration: int,
        max_inner: int,
        inner_tol: float,
        scale: float,
        rate: float,
        want_params: bool,
        n_threads: int,
        /,
    ) -> _Doubles | None: ...
    def stats(self, n_threads: int, /) -> _Doubles: ...

def lda_e_step(
    table: LdaTable,
    indptr: _Array,
    indices: _Array,
    counts: _Array,
    weights: _Doubles | None,
    offset: int,
    rule: str,
    state: _Array | None,
    seed: int,
    iteration: int,
    max_inner: int,
    inner_tol: float,
    n_threads: int,
    /,
) -> tuple[_Doubles, _Array]: ...
def lda_infer(
    table: LdaTable,
    indptr: _Array,
    indices: _Array,
    counts: _Array,
    state: _Array | None,
    max_inner: int,
    inner_tol: float,
    n_threads: int,
    /,
) -> tuple[_Array, _Doubles]: ...
def lda_proportions(
    table: LdaTable,
    indptr: _Array,
    indices: _Array,
    counts: _Array,
    max_inner: int,
    inner_tol: float,
    add_up: bool,
    n_threads: int,
    /,
) -> _Doubles: ...
def lda_log_predictive(
    theta: _Doubles,
    topics: _Doubles,
    indptr: _Array,
    indices: _Array,
    counts: _Array,
    n_threads: int,
    /,
) -> _Doubles: ...

# bind_hmm.cpp: rows as the emission's mixture takes them, lengths int64, labels int32
class HmmTable:
    @property
    def log_start(self) -> _Doubles: ...
    @property
    def log_transitions(self) -> _Doubles: ...

class HiddenMarkov:
    def __init__(
        self,
        emission: GaussianMixture | DiscreteMixture,
        *,
        start_prior: _Doubles | None,
        transition_prior: _Doubles | None,
        start_support: _Array | None,
        transition_support: _Array | None,
        start_frozen: _Doubles | None,
        transition_frozen: _Doubles | None,
        n_sweeps: int = 10,
        sweep_tol: float = 1e-6,
        n_mix: int = 1,
        mix_prior: _Doubles | None = None,
    ) -> None: ...
    def prepare(self, kind: str, params: _Doubles, /) -> HmmTable: ...
    def update(
        self,
        rule: str,
        previous_kind: str,
        previous: _Doubles | None,
        stats: _Doubles,
        seed: int,
        iteration: int,
        /,
    ) -> _Doubles: ...
    def global_term(self, kind: str, params: _Doubles, /) -> float: ...
    def expected_log_joint(self, kind: str, params: _Doubles, stats: _Doubles, /) -> float: ...
    def mean_chain(self, params: _Doubles, /) -> _Doubles: ...

def hmm_e_step(
    table: HmmTable,
    rows: _Rows,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    weights: _Doubles | None,
    labels: _Array | None,
    offset: int,
    rule: str,
    state: _Doubles | None,
    seed: int,
    iteration: int,
    n_threads: int,
    /,
) -> tuple[_Doubles, _Doubles | None]: ...
def hmm_score(
    table: HmmTable,
    rows: _Rows,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    labels: _Array | None,
    n_threads: int,
    /,
) -> _Doubles: ...
def hmm_decode(
    table: HmmTable,
    rows: _Rows,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    labels: _Array | None,
    n_threads: int,
    /,
) -> tuple[_Array, _Doubles]: ...
def hmm_posteriors(
    table: HmmTable,
    rows: _Rows,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    labels: _Array | None,
    n_threads: int,
    /,
) -> _Doubles: ...
def hmm_scores(
    table: HmmTable,
    rows: _Rows,
    base: _Doubles | None,
    is_float: bool,
    lengths: _Array,
    labels: _Array | None,
    n_threads: int,
    /,
) -> _Doubles: ...

# bind_vae.cpp: weights are contiguous float32, changed in place by `sweep`
class VaeRows:
    @staticmethod
    def dense(values: _Array, weights: _Doubles | None, offset: int, /) -> VaeRows: ...
    @staticmethod
    def sparse(
        indptr: _Array,
        indices: _Array,
        values: _Array | None,
        n_features: int,
        weights: _Doubles | None,
        offset: int,
        /,
    ) -> VaeRows: ...

class VaePass: ...

def vae_pass(
    *,
    hard: bool,
    prior: bool,
    kl_weight: float,
    seed: int,
    iteration: int,
    batch_size: int,
    n_threads: int,
) -> VaePass: ...

class AdamSettings:
    def __init__(
        self,
        *,
        learning_rate: float,
        decay1: float,
        decay2: float,
        epsilon: float,
        least_log_variance: float,
    ) -> None: ...

class VaeNetwork:
    def __init__(
        self,
        *,
        n_features: int,
        n_components: int,
        hidden: Sequence[int],
        activation: str,
        likelihood: str,
        n_variances: int,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    def sweep(
        self,
        weights: _Array,
        first: _Array,
        second: _Array,
        updates: int,
        failures: int,
        halvings: int,
        blocks: Sequence[VaeRows],
        order: _Array,
        adam: AdamSettings,
        what: VaePass,
        /,
    ) -> tuple[float, float, int, int, int]: ...
    def gradient(
        self, weights: _Array, rows: VaeRows, what: VaePass, /
    ) -> tuple[_Doubles, float, float]: ...
    def encode(
        self, weights: _Array, rows: VaeRows, n_threads: int, /
    ) -> tuple[_Array, _Array]: ...
    def decode(self, weights: _Array, z: _Array, n_threads: int, /) -> _Array: ...
    def log_density(
        self, weights: _Array, rows: VaeRows, z: _Array, with_gradient: bool, n_threads: int, /
    ) -> tuple[_Doubles, _Array | None]: ...

def vae_noise(seed: int, iteration: int, rows: _Array, width: int, /) -> _Array: ...

class VaeProduct:
    def __init__(self, kind: str, a: _Array, b: _Array, n_threads: int, /) -> None: ...
    def compute(self) -> None: ...
    def result(self) -> _Array: ...
