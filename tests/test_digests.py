import shutil

import pytest

from splatscope import digests


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be edited, and a script that imports one stage of it."""
    shutil.copytree(digests.SOURCE / "splatscope", tmp_path / "splatscope", ignore=shutil.ignore_patterns("*.so"))
    monkeypatch.setattr(digests, "SOURCE", tmp_path)
    script = tmp_path / "script.py"
    script.write_text("from splatscope import shards\n")

    def digest() -> str:
        digests.import_closure.cache_clear()
        return digests.code_digest(script)

    yield tmp_path / "splatscope", digest
    digests.import_closure.cache_clear()


@pytest.mark.parametrize("module, changes", [("shards", True), ("images", True), ("recordings", False)])
def test_digest_follows_imports(package, module, changes):
    """shards imports images (and is imported itself), but not recordings."""
    folder, digest = package
    before = digest()
    with open(folder / f"{module}.py", "a") as file:
        file.write("\n# edited\n")
    assert (digest() != before) is changes


@pytest.mark.parametrize(
    "text",
    [
        "def late():\n    from splatscope import shards\n",
        "try:\n    pass\nexcept OSError:\n    import splatscope.shards\n",
        "if True:\n    pass\nelse:\n    with open(''):\n        from splatscope.shards import read_shard\n",
        "match 1:\n    case 1:\n        import splatscope.shards\n",
    ],
)
def test_imports_count_wherever_they_stand(package, text):
    folder, _ = package
    script = folder.parent / "nested.py"
    script.write_text(text)
    assert folder / "shards.py" in digests.import_closure(script)


def test_digest_does_not_depend_on_the_folder(package):
    _, digest = package
    assert digest() == digest()


def test_native_sources_count(package):
    folder, _ = package
    script = folder.parent / "render.py"
    script.write_text("from splatscope.splats import rasterizer\n")
    (folder / "splats" / "kernel.cpp").write_text("int a;")
    digests.import_closure.cache_clear()
    assert folder / "splats" / "kernel.cpp" in digests.import_closure(script)
