"""Stand-ins for what a library imports beside its work, so that it is loaded when it is first used.

diffusers loads every library that it can work with when it is imported: transformers, peft, scipy, torch's compiler.
Together they take longer than torch itself, and a start that draws with the embedded model uses none.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_LOCK = threading.RLock()
"""Held while stand-ins are put among the loaded modules or taken out, never while something is imported."""


class StandIn(type):
    """The type of classes that stand for a class or function of a module that may not be loaded yet.

    Calling one, subclassing it and reading its attributes load the module and act on what it stands for. Asking whether
    something is an instance or a subclass does so only where it could be: where a class of its is from that module or
    one below it.
    """

    _home: str

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if any(isinstance(base, StandIn) for base in bases):
            real = tuple(base._real() if isinstance(base, StandIn) else base for base in bases)
            return type(real[0])(name, real, namespace)
        return super().__new__(meta, name, bases, namespace)

    def _real(cls) -> Any:
        return getattr(_real_module(cls._home), cls.__name__)

    def _could_be(cls, other: type) -> bool:
        return any(f"{part.__module__}.".startswith(f"{cls._home}.") for part in other.__mro__)

    def __instancecheck__(cls, instance: object) -> bool:
        return cls._could_be(type(instance)) and isinstance(instance, cls._real())

    def __subclasscheck__(cls, subclass: type) -> bool:
        if isinstance(subclass, StandIn):
            return subclass is cls or issubclass(subclass._real(), cls._real())
        return cls._could_be(subclass) and issubclass(subclass, cls._real())

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls._real()(*arguments, **keywords)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._real(), name)


def stand_in(module: str, name: str) -> StandIn:
    """One that stands for `name` of `module`."""
    made: StandIn = StandIn(name, (), {"__module__": module, "_home": module})
    return made


class _StandInModule(ModuleType):
    """Lies in a module's place: gives what it is told to for some names, and what the module has for all others.

    A module that is loaded stays so, behind this one. One that is not is loaded for the first other name, and from then
    on it lies in its place itself.
    """

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        super().__init__(name)
        behind = sys.modules.get(name)
        own = {"__path__": [], "__spec__": ModuleSpec(name, None, is_package=True), "_given": given, "_behind": behind}
        self.__dict__.update(own, _users=0)
        if behind is not None:
            self.__dict__.update(__path__=getattr(behind, "__path__", []), __spec__=behind.__spec__)

    def __getattr__(self, name: str) -> Any:
        if self._users and name in self._given:
            return self._given[name]
        if self._users and name.startswith("__") and name != "__version__" and self._behind is None:
            raise AttributeError(name)  # what the import system asks of every module
        return getattr(_real_module(self.__name__), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_real_module(self.__name__), name, value)


def _real_module(name: str) -> ModuleType:
    """The module itself, loaded now if it was not; then nothing stands in for its package any more."""
    found = sys.modules.get(name)
    if isinstance(found, _StandInModule):
        if found._behind is not None:
            behind: ModuleType = found._behind
            return behind
        package = f"{name.partition('.')[0]}."
        for other, module in list(sys.modules.items()):
            if f"{other}.".startswith(package) and isinstance(module, _StandInModule) and module._behind is None:
                del sys.modules[other]
    return importlib.import_module(name)


class _UnopenedPackage(ModuleType):
    """A package whose own file is run when the first name is asked of it that none of its loaded modules has."""

    def __getattr__(self, name: str) -> Any:
        if name in ("__warningregistry__", "__path__"):
            raise AttributeError(name)
        assert self.__spec__ is not None
        unopened = self.__spec__.loader
        if isinstance(unopened, _UnopenedLoader):
            with unopened.lock:
                if type(self) is _UnopenedPackage:
                    self.__class__ = ModuleType  # type: ignore[assignment]
                    self.__loader__ = self.__spec__.loader = unopened.loader
                    unopened.loader.exec_module(self)
        return getattr(self, name)


class _UnopenedLoader:
    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.lock = threading.RLock()

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _UnopenedPackage


class _LoadedLoader:
    """Gives a module that is loaded."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """It has run."""


class _Finder:
    """Finds packages to be left unopened, and modules of packages for which something stands in."""

    def __init__(self, unopened: Sequence[str]) -> None:
        self.unopened = unopened

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        parent = name.rpartition(".")[0]
        if isinstance(sys.modules.get(parent), _StandInModule):
            _real_module(parent)
            if name in sys.modules:
                return ModuleSpec(name, _LoadedLoader(sys.modules[name]))  # type: ignore[arg-type]
            return _spec_of_others(self, name)
        if name not in self.unopened:
            return None
        spec = _spec_of_others(self, name)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is not None:
            spec.loader = _UnopenedLoader(spec.loader)  # type: ignore[assignment]
        return spec


def _spec_of_others(finder: Any, name: str) -> ModuleSpec | None:
    """What the import system finds without this finder."""
    sys.meta_path.remove(finder)
    try:
        return importlib.util.find_spec(name)
    finally:
        sys.meta_path.insert(0, finder)


class _AfterLoading:
    """Finds one module, once, and has something done when it is loaded."""

    def __init__(self, name: str, action: Callable[[ModuleType], None]) -> None:
        self.name, self.action = name, action
        self.loader: Any = None

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self  # type: ignore[assignment]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.action(module)


def when_loaded(name: str, action: Callable[[ModuleType], None]) -> None:
    """Do something with a module as soon as it is loaded: now, if it is."""
    if is_loaded(name):
        action(sys.modules[name])
    else:
        sys.meta_path.insert(0, _AfterLoading(name, action))  # type: ignore[arg-type]


def is_loaded(name: str) -> bool:
    """Whether a module is loaded; what stands in for one that is not does not count."""
    found = sys.modules.get(name)
    return found is not None and not (isinstance(found, _StandInModule) and found._behind is None)


@contextmanager
def standing_in(modules: Mapping[str, Mapping[str, Any]], unopened: Sequence[str] = ()) -> Iterator[None]:
    """While this lasts, a module of `modules` gives for the names listed what is listed, unless it is loaded already.

    modules: for each module what it gives: a `stand_in`, or whatever does for its name. Modules that are loaded give
    their own, but for packages that are lazy themselves; those that are not installed are left alone.
    unopened: packages of which modules may be imported without running the package's own file; that happens, also
    later, when the first name is asked of it.
    Other threads see the stand-ins meanwhile, which do what the real ones do.
    """
    finder = _Finder(unopened)
    with _LOCK:
        placed = [stand_in for name, given in modules.items() if (stand_in := _put_in(name, given)) is not None]
        sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        yield
    finally:
        with _LOCK:
            sys.meta_path.remove(finder)  # type: ignore[arg-type]
            for stand_in in placed:
                _take_out(stand_in)


def _put_in(name: str, given: Mapping[str, Any]) -> _StandInModule | None:
    """What stands in for a module: one that lies there already, for another thread, or a new one; None for others."""
    placed = sys.modules.get(name)
    if not isinstance(placed, _StandInModule):
        is_lazy_itself = type(placed) not in (ModuleType, type(None)) or hasattr(placed, "__getattr__")
        if not is_lazy_itself and (placed is not None or not _is_installed(name)):
            return None
        placed = _StandInModule(name, given)
        sys.modules[name] = placed
    placed.__dict__["_users"] += 1
    return placed


def _take_out(placed: _StandInModule) -> None:
    """Unless somebody else needs it, or the module itself was loaded."""
    name = placed.__name__
    placed.__dict__["_users"] -= 1
    if placed._users or sys.modules.get(name) is not placed:
        return
    if placed._behind is None:
        del sys.modules[name]
    else:
        sys.modules[name] = placed._behind


def _is_installed(name: str) -> bool:
    package = name.partition(".")[0]
    return package in sys.modules or importlib.util.find_spec(package) is not None
