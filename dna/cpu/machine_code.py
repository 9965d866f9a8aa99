"""What Numba makes of a kernel: machine code that is whole, and none of what it is linked with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.binding import Linkage
from numba.core.codegen import JITCodeLibrary, RuntimeLinker
from numba.core.cpu import CPUContext


class Whole(JITCodeLibrary):
    """Machine code that calls nothing but its own copies of the functions that it is linked with: helpers, bodies of `prange`.

    Numba keeps their names open, so a process that compiles a kernel calls the copy of each function that was compiled by
    itself, before; one that loads the kernel calls the copy within it. As LLVM optimizes the two apart, their floats differ in
    the last bit now and then.

    So nobody calls what a kernel is linked with by itself, and machine code of it is made only if its address is asked for. Until
    then it is linked as it is, and optimized where it is called, once.
    """

    _in_memory = False
    _is_optimized = True  # as what is loaded from the cache

    def _optimize_final_module(self) -> None:
        self._is_optimized = False

    def _finalize_final_module(self) -> None:
        is_loaded = getattr(self, "_compiled_object", None) is not None
        calls_itself = any(each.name.startswith(RuntimeLinker.PREFIX) for each in self._final_module.global_variables)
        if is_loaded or calls_itself:  # its code is there already; its calls go by its address
            self._make_code()
        else:
            self._finalized = True

    def get_pointer_to_function(self, name: str) -> Any:
        self._ensure_finalized()
        if not self._in_memory and any(function.name == name for function in self.get_defined_functions()):
            self._make_code()
        return super().get_pointer_to_function(name)

    def _make_code(self) -> None:
        self._in_memory = True
        if not self._is_optimized:
            self._is_optimized = True
            for function in self._final_module.functions:
                if function.linkage == Linkage.linkonce_odr and not function.is_declaration:
                    function.linkage = Linkage.internal
            super()._optimize_final_module()
        super()._finalize_final_module()


create_wrapper = CPUContext.create_cpython_wrapper


@contextmanager
def whole_code(codegen: Any, kernel: str) -> Iterator[None]:
    """Let Numba make whole code, and a wrapper for Python of the kernel of this name alone: nobody calls bodies of `prange`.

    The environment of a function has a place only where its machine code is.
    """

    def set_env(name: str, env: Any) -> None:
        if codegen._engine.is_symbol_defined(name):
            type(codegen).set_env(codegen, name, env)

    def wrap_kernel(context: Any, library: Any, *details: Any, **options: Any) -> None:
        if library.name == kernel:
            create_wrapper(context, library, *details, **options)

    before = codegen._library_class, codegen.set_env, CPUContext.create_cpython_wrapper
    codegen._library_class, codegen.set_env, CPUContext.create_cpython_wrapper = Whole, set_env, wrap_kernel
    try:
        yield
    finally:
        codegen._library_class, codegen.set_env, CPUContext.create_cpython_wrapper = before
