"""Digests of code: what a job's result depends on besides its inputs and settings.

Snakemake notices an edited script but not an edited library module. Every rule therefore carries the digest of its
script's import closure as a parameter: edit one module and exactly the stages that import it run again.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent  # the folder that holds the package `splatscope`
NATIVE_SUFFIXES = (".cpp", ".h")


def code_digest(script: str | Path) -> str:
    """Short SHA-256 over a script and every module of this package that it imports, directly or not.

    A module's native sources (C++ files in its folder) and templates count with it.
    """
    digest = hashlib.sha256()
    for path in sorted(import_closure(Path(script))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def import_closure(script: Path) -> frozenset[Path]:
    """The script and all files of this package it depends on."""
    found: set[Path] = set()
    queue = [script.resolve()]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        queue += _imported_files(path)
        queue += [sibling for sibling in _assets(path) if sibling not in found]
    return frozenset(found)


def _assets(path: Path) -> list[Path]:
    """Files that are part of a module without being imported: C++ sources and report templates of its package."""
    if path.name != "__init__.py" or path.parent == SOURCE / "splatscope":
        return []
    suffixes = (*NATIVE_SUFFIXES, ".html", ".css", ".js")
    return sorted(asset for asset in path.parent.rglob("*") if asset.suffix in suffixes)


@cache  # most modules are in the closure of most scripts
def _imported_files(path: Path) -> list[Path]:
    if path.suffix != ".py":
        return []
    files = []
    for node in _statements(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "splatscope":
                files += _module_files(name)
    return files


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a node, at any depth, without their expressions, which are most of a tree and import none."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)


def _module_files(name: str) -> list[Path]:
    """The module's file and the __init__ of each package it lies in; nothing when the name is not a module."""
    parts = name.split(".")
    files = [SOURCE.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)]
    files.append(SOURCE.joinpath(*parts).with_suffix(".py"))
    return [file for file in files if file.is_file()]


def settings_digest(settings: dict) -> str:
    """Short SHA-256 of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def provenance(snakemake: Any) -> dict[str, Any]:
    """What a shard's manifest says of its making: rule, seed, and digests of the settings and the code."""
    return {
        "rule": snakemake.rule,
        "seed": snakemake.params.seed,
        "config_digest": settings_digest(snakemake.params.config),
        "code_digest": snakemake.params.code,
    }
