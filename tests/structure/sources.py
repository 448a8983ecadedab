"""The package's files as syntax trees: read, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "occlusionformer"


@dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the package, as in `model/block.py`."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def module(self) -> str:
        parts = self.path.relative_to(PACKAGE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def part(self) -> str:
        """The subpackage it belongs to; empty for files directly in the package."""
        parts = self.path.relative_to(PACKAGE).parts
        return parts[0] if len(parts) > 1 else ""

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of the tree, found once: many rules look through it."""
        return list(ast.walk(self.tree))

    def imports(self) -> Iterator[tuple[str, str]]:
        """Every import anywhere in the file as (module, name); name is empty for `import module`."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: relative import"
                yield from ((node.module or "", alias.name) for alias in node.names)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        yield from (node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def exported(self) -> list[str] | None:
        """`__all__`, if there is one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
            ):
                return sorted(ast.literal_eval(node.value))
        return None

    def public_names(self) -> list[str]:
        """Functions and classes defined at the top of the file without a leading underscore."""
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        names = {node.name for node in self.tree.body if isinstance(node, kinds)}
        return sorted(name for name in names if not name.startswith("_"))


@cache
def sources() -> tuple[Source, ...]:
    return tuple(Source(path) for path in sorted(PACKAGE.rglob("*.py")))
