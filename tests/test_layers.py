"""Each part of the package imports only from parts above it (the order of design/0001)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "solon"
ORDER = [
    "errors", "ledger", "constitution", "policy", "models", "checkpoints", "data", "evaluation", "critique",
    "training", "governance", "lab", "release", "run", "gateway", "cli",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    """Top-level parts of solon that a module imports, at module level or inside functions."""
    found = set()
    package = ["solon", *path.relative_to(ROOT).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*stem, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        found |= {name[1] for name in names if name[0] == "solon" and len(name) > 1}
    return found - {"__version__"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_upwards(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if part in ("__init__", "__main__"):
        return
    assert part in ORDER, f"{part} has no place in the order; add it to ORDER and to design/0001"
    for other in imports(path):
        assert other in ORDER and ORDER.index(other) <= ORDER.index(part), f"{path} imports {other}, which stands below {part}"
