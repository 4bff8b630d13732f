"""The C interface of the installed library, by ctypes: what a caller without Python would use."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

import vemfast

OK, INVALID_ARGUMENT, MODEL_FILE, SYSTEM, NUMERICAL, INTERRUPTED = range(6)


class Rows(ctypes.Structure):
    """vemfast_rows."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("data", c_void_p),
        ("n_rows", c_int64),
        ("n_features", c_int64),
        ("row_stride", c_int64),
        ("column_stride", c_int64),
        ("is_float", c_int),
        ("weights", POINTER(c_double)),
    ]


class Documents(ctypes.Structure):
    """vemfast_documents."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("n_documents", c_int64),
        ("starts", c_void_p),
        ("words", c_void_p),
        ("counts", c_void_p),
    ]


POLL = ctypes.CFUNCTYPE(c_int, c_void_p)
CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_double)


class Call(ctypes.Structure):
    """vemfast_call."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("n_threads", c_int),
        ("poll", POLL),
        ("context", c_void_p),
    ]


class Options(ctypes.Structure):
    """vemfast_gaussian_mixture_options."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("n_components", c_int),
        ("covariance_type", c_int),
        ("inference", c_int),
        ("max_iter", c_int),
        ("n_init", c_int),
        ("equal_weights", c_int),
        ("dirichlet_process", c_int),
        ("tol", c_double),
        ("reg_covar", c_double),
        ("weight_concentration_prior", c_double),
        ("mean_precision_prior", c_double),
        ("degrees_of_freedom_prior", c_double),
        ("callback", CALLBACK),
        ("context", c_void_p),
    ]


class Parameter(ctypes.Structure):
    """vemfast_parameter."""

    _fields_ = [
        ("name", c_char_p),
        ("word", c_char_p),
        ("values", POINTER(c_double)),
        ("shape", POINTER(c_int64)),
        ("n_dimensions", c_size_t),
    ]


class FitOptions(ctypes.Structure):
    """vemfast_fit_options."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("class_name", c_char_p),
        ("parameters", POINTER(Parameter)),
        ("n_parameters", c_size_t),
        ("callback", CALLBACK),
        ("context", c_void_p),
    ]


def _library():
    folder = Path(vemfast.cmake_dir()).parents[1]
    lib = ctypes.CDLL(str(next(folder.glob("libvemfast.*"))))
    for name in ("vemfast_version", "vemfast_message", "vemfast_class_name"):
        getattr(lib, name).restype = c_char_p
    for name in ("vemfast_n_features", "vemfast_n_components"):
        getattr(lib, name).restype = c_size_t
        getattr(lib, name).argtypes = [c_void_p]
    lib.vemfast_class_name.argtypes = [c_void_p]
    lib.vemfast_free.argtypes = [c_void_p]
    lib.vemfast_free.restype = None
    return lib


lib = _library()


class StatusError(Exception):
    """A status that is not OK."""

    def __init__(self, status):
        self.status, self.message = status, lib.vemfast_message().decode()
        super().__init__(f"{status}: {self.message}")


def check(status):
    if status != OK:
        raise StatusError(status)


def rows_of(X, weights=None):
    """Return vemfast_rows of an array, which must outlive it."""
    item = X.itemsize
    return Rows(
        ctypes.sizeof(Rows),
        X.ctypes.data,
        X.shape[0],
        X.shape[1],
        X.strides[0] // item,
        X.strides[1] // item,
        int(X.dtype == np.float32),
        None if weights is None else weights.ctypes.data_as(POINTER(c_double)),
    )


def call_of(n_threads, poll=None):
    return Call(ctypes.sizeof(Call), n_threads, POLL() if poll is None else POLL(poll), None)


class NativeModel:
    """A model behind the C interface."""

    def __init__(self, path=None, handle=None):
        self.handle = c_void_p() if handle is None else handle
        if path is not None:
            check(lib.vemfast_load(str(path).encode(), byref(self.handle)))

    def __del__(self):
        lib.vemfast_free(self.handle)

    @property
    def n_components(self):
        return lib.vemfast_n_components(self.handle)

    def save(self, path):
        check(lib.vemfast_save(self.handle, str(path).encode()))

    def array(self, name):
        n_dimensions, size = c_size_t(), c_size_t()
        shape = np.zeros(8, dtype=np.int64)
        check(
            lib.vemfast_array_shape(
                self.handle,
                name.encode(),
                c_void_p(shape.ctypes.data),
                c_size_t(8),
                byref(n_dimensions),
                byref(size),
            )
        )
        out = np.empty(shape[: n_dimensions.value])
        check(lib.vemfast_array(self.handle, name.encode(), c_void_p(out.ctypes.data), size))
        return out

    def _over_rows(self, name, X, shape, call, dtype=np.float64):
        out = np.empty(shape, dtype=dtype)
        given = rows_of(X)
        check(
            getattr(lib, f"vemfast_{name}")(
                self.handle,
                byref(given),
                None if call is None else byref(call),
                c_void_p(out.ctypes.data),
                c_size_t(out.size),
            )
        )
        return out

    def predict(self, X, call=None):
        return self._over_rows("predict", X, len(X), call, np.int32)

    def responsibilities(self, X, call=None):
        return self._over_rows("predict_proba", X, (len(X), self.n_components), call)

    def score_samples(self, X, call=None):
        return self._over_rows("score_samples", X, len(X), call)

    def transform(self, X, call=None):
        return self._over_rows("transform", X, (len(X), self.n_components), call)

    def score(self, X, weights=None):
        out, given = c_double(), rows_of(X, weights)
        check(lib.vemfast_score(self.handle, byref(given), None, byref(out)))
        return out.value

    def inverse_transform(self, Z):
        out = np.empty((len(Z), lib.vemfast_n_features(self.handle)))
        check(
            lib.vemfast_inverse_transform(
                self.handle,
                c_void_p(Z.ctypes.data),
                c_size_t(len(Z)),
                None,
                c_void_p(out.ctypes.data),
                c_size_t(out.size),
            )
        )
        return out

    def _over_steps(self, name, X, lengths, out, *more, call=None):
        given = rows_of(X)
        sizes = None if lengths is None else np.asarray(lengths, dtype=np.int64)
        check(
            getattr(lib, f"vemfast_{name}")(
                self.handle,
                byref(given),
                None if sizes is None else c_void_p(sizes.ctypes.data),
                c_size_t(1 if sizes is None else len(sizes)),
                None if call is None else byref(call),
                c_void_p(out.ctypes.data),
                c_size_t(out.size),
                *more,
            )
        )
        return out

    def decode(self, X, lengths=None):
        joint = np.empty(1 if lengths is None else len(lengths))
        states = np.empty(len(X), dtype=np.int32)
        self._over_steps("decode", X, lengths, states, c_void_p(joint.ctypes.data))
        return joint, states

    def posteriors(self, X, lengths=None, call=None):
        out = np.empty((len(X), self.n_components))
        return self._over_steps("posteriors", X, lengths, out, call=call)

    def score_sequences(self, X, lengths=None):
        out = np.empty(1 if lengths is None else len(lengths))
        return self._over_steps("score_sequences", X, lengths, out)

    def _over_documents(self, name, X, shape):
        (given, _arrays), out = documents_of(X), np.empty(shape)
        check(
            getattr(lib, f"vemfast_{name}")(
                self.handle, byref(given), None, c_void_p(out.ctypes.data), c_size_t(out.size)
            )
        )
        return out

    def transform_documents(self, X):
        return self._over_documents("transform_documents", X, (X.shape[0], self.n_components))

    def score_documents(self, X):
        return self._over_documents("score_documents", X, X.shape[0])


def fit_gaussian_mixture(X, random_state=0, call=None, callback=None, weights=None, **options):
    given, chosen, handle = rows_of(X, weights), Options(), c_void_p()
    lib.vemfast_gaussian_mixture_options_init(byref(chosen))
    for name, value in options.items():
        setattr(chosen, name, value)
    if callback is not None:
        chosen.callback = CALLBACK(callback)
    check(
        lib.vemfast_fit_gaussian_mixture(
            byref(given),
            byref(chosen),
            ctypes.c_uint64(random_state),
            None if call is None else byref(call),
            byref(handle),
        )
    )
    return NativeModel(handle=handle)


def options_of(class_name, parameters, callback=None):
    """Return vemfast_fit_options, and what must outlive them."""
    kept, given = [], (Parameter * len(parameters))()
    for one, (name, value) in zip(given, parameters.items(), strict=True):
        one.name = name.encode()
        if isinstance(value, str):
            one.word = value.encode()
            continue
        array = np.ascontiguousarray(value, dtype=np.float64)
        shape = np.array(array.shape, dtype=np.int64)
        kept += [array, shape]
        one.values = array.ctypes.data_as(POINTER(c_double))
        one.shape = shape.ctypes.data_as(POINTER(c_int64))
        one.n_dimensions = np.ndim(value)
    own = CALLBACK() if callback is None else CALLBACK(callback)
    size = ctypes.sizeof(FitOptions)
    options = FitOptions(size, class_name.encode(), given, len(parameters), own, None)
    return options, [*kept, given, own]


def fit(
    class_name, X, parameters, lengths=None, weights=None, random_state=0, call=None, callback=None
):
    """Return a model of any class but topics, fitted through C."""
    options, _kept = options_of(class_name, parameters, callback)
    sizes = None if lengths is None else np.asarray(lengths, dtype=np.int64)
    given, handle = rows_of(X, weights), c_void_p()
    check(
        lib.vemfast_fit(
            byref(options),
            byref(given),
            None if sizes is None else c_void_p(sizes.ctypes.data),
            c_size_t(1 if sizes is None else len(sizes)),
            ctypes.c_uint64(random_state),
            None if call is None else byref(call),
            byref(handle),
        )
    )
    return NativeModel(handle=handle)


def documents_of(X):
    """Return vemfast_documents of a CSR matrix of counts, and what must outlive them."""
    arrays = X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data.astype(np.float64)
    size = ctypes.sizeof(Documents)
    return Documents(size, X.shape[0], *(array.ctypes.data for array in arrays)), arrays


def fit_documents(X, parameters, n_words=None, random_state=0, call=None, callback=None):
    """Return topics fitted to a CSR matrix of counts through C."""
    options, _kept = options_of("LatentDirichletAllocation", parameters, callback)
    (given, _arrays), handle = documents_of(X), c_void_p()
    check(
        lib.vemfast_fit_documents(
            byref(options),
            byref(given),
            c_size_t(X.shape[1] if n_words is None else n_words),
            ctypes.c_uint64(random_state),
            None if call is None else byref(call),
            byref(handle),
        )
    )
    return NativeModel(handle=handle)


def fit_many(class_name, data, parameters, random_states, lengths=None, call=None, callback=None):
    """Return the models (None where a fit failed) and the message on the first that failed."""
    options, _kept = options_of(class_name, parameters, callback)
    rows, n = (Rows * len(data))(*map(rows_of, data)), len(data)
    states = np.asarray(random_states, dtype=np.uint64)
    handles, failed = (c_void_p * n)(), c_size_t()
    parts, counts = None, None
    if lengths is not None:
        own = [np.asarray(sizes, dtype=np.int64) for sizes in lengths]
        parts = (c_void_p * n)(*(sizes.ctypes.data for sizes in own))
        counts = (c_size_t * n)(*map(len, own))
    check(
        lib.vemfast_fit_many(
            byref(options),
            rows,
            c_size_t(n),
            parts,
            counts,
            c_void_p(states.ctypes.data),
            None if call is None else byref(call),
            handles,
            byref(failed),
        )
    )
    return handed_out(handles, failed)


def fit_many_documents(corpora, parameters, random_states, call=None):
    """Return the topics of each CSR matrix of counts (None where a fit failed) and the message."""
    options, _kept = options_of("LatentDirichletAllocation", parameters)
    given = [documents_of(X) for X in corpora]
    states, n = np.asarray(random_states, dtype=np.uint64), len(corpora)
    handles, failed = (c_void_p * n)(), c_size_t()
    check(
        lib.vemfast_fit_many_documents(
            byref(options),
            (Documents * n)(*(view for view, _ in given)),
            c_size_t(n),
            c_size_t(corpora[0].shape[1]),
            c_void_p(states.ctypes.data),
            None if call is None else byref(call),
            handles,
            byref(failed),
        )
    )
    return handed_out(handles, failed)


def handed_out(handles, failed):
    """Return models of handles, and the message on the first that failed."""
    models = [NativeModel(handle=c_void_p(one)) if one else None for one in handles]
    assert failed.value == sum(model is None for model in models)
    return models, lib.vemfast_message().decode() if failed.value else ""


__all__ = [
    "INTERRUPTED",
    "INVALID_ARGUMENT",
    "MODEL_FILE",
    "SYSTEM",
    "Call",
    "Documents",
    "FitOptions",
    "NativeModel",
    "Options",
    "Rows",
    "StatusError",
    "call_of",
    "check",
    "documents_of",
    "fit",
    "fit_documents",
    "fit_gaussian_mixture",
    "fit_many",
    "fit_many_documents",
    "lib",
    "options_of",
    "rows_of",
]
