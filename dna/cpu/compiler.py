"""Compilation for the CPU: one way to call Numba, with a cache on disk that is never stale.

Numba's own cache cannot hold kernels that are built around a user's functions (its key changes with every process), and
returns old code when an imported function was edited. Here the key of a kernel is a digest of the whole package's source and
of the bytecode and constants of the functions that it was built from.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import sys
import sysconfig
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

from dna.cells.helpers import with_helpers
from dna.collector import without_collector
from dna.cpu.machine_code import whole_code
from dna.errors import DeviceError

FASTMATH = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: reorder sums, fuse multiply-adds, ignore the sign of zero. NaN and Inf keep their meaning."""

SOURCES = ("cells/*.py", "rules/*.py", "cpu/*.py", "training/*.py", "allocation.py", "types.py")
"""All that kernels are built from, beside the functions of users."""

_announced = False


class _FileAKey(IndexDataCacheFile):
    """Cached kernels, each in a file that is named by its key.

    Numba keeps an index of numbered files. Two processes that save at the same moment may both take the next number: then one
    key leads to the code of the other. Here they write to different files, or the same code to one.
    """

    def save(self, key: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk takes no more kernels, and stops nobody
            self._save_data(self._name_of(key), data)

    def load(self, key: Any) -> Any:
        try:
            return self._load_data(self._name_of(key))
        except OSError:
            return None

    def _name_of(self, key: Any) -> str:
        named = hashlib.sha256(repr((self._version, self._source_stamp, key)).encode()).digest()
        return str(self._data_name(int.from_bytes(named[:16], "big")))


class _DigestCache(FunctionCache):
    """Numba's cache of one function under a key of ours."""

    def __init__(self, function: Callable[..., Any], digest: str) -> None:
        super().__init__(function)
        self._digest = digest
        self._cache_file = _FileAKey(self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp())

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (sig, codegen.magic_tuple(), self._digest)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except ImportError:  # the module of a user's function has no name that can be imported in this process
            return None


def _cache(dispatcher: Any, digest: str) -> bool:
    """Give a kernel its cache; return whether there is a folder for it that can be written to."""
    try:
        dispatcher._cache = _DigestCache(dispatcher.py_func, digest)
    except (RuntimeError, OSError):  # neither the package's folder, nor the user's, nor NUMBA_CACHE_DIR
        return False
    return True


def _compile_whole(dispatcher: Any, cached: bool) -> None:
    """Let a kernel be compiled to code that is whole; Numba holds its lock meanwhile."""
    compile_as_usual, codegen = dispatcher._compiler.compile, dispatcher.targetctx.codegen()

    def compile_whole(*arguments: Any) -> Any:
        _announce(cached)
        with whole_code(codegen, dispatcher.py_func.__qualname__), without_collector():
            return compile_as_usual(*arguments)

    dispatcher._compiler.compile = compile_whole


def jit(function: Callable[..., Any], *, alone: bool = False) -> Callable[..., Any]:
    """Compile a function that kernels call, with the helpers that it encloses; it is always inlined.

    Python must not call it, unless it is compiled for that: `alone`.
    """
    whole = with_helpers(function, jit)
    options = {"no_cpython_wrapper": not alone, "no_cfunc_wrapper": True}
    compiled: Callable[..., Any] = numba.njit(
        whole, error_model="numpy", fastmath=FASTMATH, nogil=True, forceinline=True, **options
    )
    return compiled


def pasted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function into each of its callers as if it were written there.

    A helper that is only inlined has been optimized by itself before: its loops ask at run time whether arrays overlap that
    their caller knows apart, and keep in memory what their caller could keep in registers.
    """
    compiled: Callable[..., Any] = numba.njit(function, error_model="numpy", fastmath=FASTMATH, nogil=True, inline="always")
    return compiled


def kernel(*parts: object, parallel: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a kernel: compiled at its first call, without the GIL, and cached on disk where a folder can be written to.

    Parameters
    ----------
    *parts : functions, types, strings, numbers
        All that the kernel was built from beside the package's own source.
    parallel : bool
        Whether `prange` runs on all threads.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if parallel:
            use_safe_threads()
        # What is raised within `prange` is lost, so kernels that check their indices run on one thread.
        checked = bool(numba.config.BOUNDSCHECK)
        many = parallel and not checked
        dispatcher: Any = numba.njit(
            function, error_model="numpy", fastmath=FASTMATH, nogil=True, parallel=many, no_cfunc_wrapper=True
        )
        _compile_whole(dispatcher, _cache(dispatcher, _digest(function.__qualname__, many, checked, *parts)))
        compiled: Callable[..., Any] = dispatcher
        return compiled

    return decorate


def _announce(cached: bool) -> None:
    """Say once that compilation takes a while; users of a fresh install would otherwise wonder what is going on."""
    global _announced
    if not _announced:
        _announced = True
        once = "once; later runs load them from the cache"
        if not cached:
            once = "in every process anew, as no folder of the cache can be written to; let NUMBA_CACHE_DIR name one"
        print(f"dna: compiling CPU kernels for this model ({once})", file=sys.stderr, flush=True)


@functools.cache
def _package_digest() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted(path for source in SOURCES for path in root.glob(source)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _digest(*parts: object) -> str:
    digest = hashlib.sha256(_package_digest().encode())
    for part in parts:
        _feed(digest, part)
    return digest.hexdigest()


def _feed(digest: Any, part: object, around: tuple[object, ...] = ()) -> None:
    """Feed what decides the meaning of a part: for a function its bytecode, constants, closure and the globals that it names.

    Those may lead back to a function `around` it, as its own name does.
    """
    if isinstance(part, types.FunctionType) and part in around:
        digest.update(f"function {around.index(part)} around".encode())
    elif isinstance(part, types.FunctionType):
        around = (*around, part)
        # A cached kernel imports the modules of its functions when it is loaded: the same code elsewhere is another function.
        digest.update(f"function of {part.__module__}".encode())
        _feed(digest, part.__code__, around)
        for cell in part.__closure__ or ():
            _feed(digest, cell.cell_contents, around)
        for name in sorted(_global_names(part.__code__)):
            if name in part.__globals__ and not isinstance(part.__globals__[name], types.ModuleType):
                digest.update(name.encode())
                _feed(digest, part.__globals__[name], around)
    elif isinstance(part, types.CodeType):
        digest.update(part.co_code)
        for constant in part.co_consts:
            _feed(digest, constant, around)
        digest.update(repr(part.co_names).encode())
    elif isinstance(part, tuple | list):
        digest.update(f"{len(part)}(".encode())
        for inner in part:
            _feed(digest, inner, around)
    elif isinstance(part, np.ndarray | np.generic):
        digest.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
    elif hasattr(part, "py_func"):
        options = getattr(part, "targetoptions", {})
        _feed(digest, (part.py_func, bool(options.get("parallel"))), around)  # the same source is other code on all threads
    elif isinstance(part, type):
        digest.update(f"{part.__module__}.{part.__qualname__}".encode())
    else:
        digest.update(repr(part).encode())
    digest.update(b";")


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


@functools.cache
def use_safe_threads() -> None:
    """Choose a threading layer that two Python threads may enter at once; Numba's fallback, `workqueue`, aborts the process then.

    TBB comes first: on a machine that has other work its caller takes over what a sleeping worker has not begun, where OpenMP
    waits at a barrier and a short kernel takes ten times as long. A choice that the user made (`NUMBA_THREADING_LAYER`)
    stands.

    Raises
    ------
    DeviceError
        Neither TBB nor OpenMP can be loaded.
    """
    if numba.config.THREADING_LAYER != "default":
        return
    for layer in ("tbb", "omp"):
        if _can_load(layer):
            numba.config.THREADING_LAYER = layer
            return
    raise DeviceError(
        "the CPU backend needs a thread-safe threading layer of Numba: expected TBB (pip install tbb) or OpenMP (libgomp), "
        "found neither"
    )


def _can_load(layer: str) -> bool:
    if layer == "tbb":
        _load_tbb_of_the_environment()
    try:
        importlib.import_module(f"numba.np.ufunc.{layer}pool")
    except ImportError:
        return False
    return True


def _load_tbb_of_the_environment() -> None:
    """Load the TBB that pip put into this environment, where the dynamic linker does not look by itself."""
    for library in sorted(Path(sysconfig.get_path("data"), "lib").glob("libtbb.so.*")):
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
