"""`splatscope doctor`: what each check says of installations that are not as they should be."""

from pathlib import Path

import pytest

from splatscope import doctor
from splatscope.config.model import Config
from splatscope.doctor.machine import RESERVE
from splatscope.doctor.software import loading_problems, read_pins
from splatscope.plan.estimate import Estimate, RuleEstimate

State = doctor.State


def test_packages_that_are_absent_or_do_not_load(tmp_path, monkeypatch):
    info = tmp_path / "broken_one-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-one\nVersion: 1.2\n")
    (tmp_path / "broken_one.py").write_text("raise RuntimeError('no operator nms')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    packages = {"broken-one": ("broken_one", "x"), "not-there": ("not_there", "x"), "pyyaml": ("yaml", "x")}
    broken, absent, sound = doctor.check_packages(packages)
    assert broken.state is State.MISSING and "RuntimeError: no operator nms" in broken.found and "1.2" in broken.found
    assert absent.state is State.MISSING and "not installed" in absent.found and "make setup" in absent.remedy
    assert sound.state is State.OK


def test_a_package_that_ends_the_process(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os; os._exit(9)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    assert loading_problems(["json", "deadly"]) == {"deadly": "the process ended with code 9"}


def test_the_lock_is_compared(tmp_path):
    import yaml

    lock = tmp_path / "requirements.txt"
    lock.write_text(f"pyyaml=={yaml.__version__} \\\n    --hash=sha256:0\n")
    assert doctor.check_pins(lock).state is State.OK
    lock.write_text("pyyaml==1.0\nnot-there==2.0\n")
    check = doctor.check_pins(lock)
    assert check.state is State.NOTE and "(tested: 1.0)" in check.found and "absent: not-there" in check.found
    assert doctor.check_pins(tmp_path / "none.txt").state is State.NOTE


def test_pins_of_other_machines_do_not_count():
    text = "a==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:0\nb==2.0 \\\n    --hash=sha256:0\n"
    assert read_pins(text) == {"b": "2.0"}


def test_disk_and_memory_are_held_against_the_need(tmp_path):
    assert doctor.check_disk(tmp_path, 1.0).state is State.OK
    full = doctor.check_disk(tmp_path, 1e18)
    assert full.state is State.MISSING and "1000000000.0 GB" in full.found
    assert doctor.check_memory(1.0).state is State.OK
    assert doctor.check_memory(1e9).state is State.MISSING and RESERVE > 1


def test_without_the_native_rasterizer(monkeypatch):
    from splatscope.splats import native

    assert doctor.check_rasterizer().state is State.OK
    monkeypatch.setattr(native, "available", lambda: False)
    check = doctor.check_rasterizer()
    assert check.state is State.NOTE and "PyTorch" in check.found


def test_weights(tmp_path, repository):
    shipped, lpips = doctor.check_weights(Config(), tmp_path, repository)
    assert shipped.state is State.OK and "(ships)" in shipped.found
    own = Config.model_validate({"restyle": {"model": "sd15"}, "evaluate": {"lpips_backbone_weights": "a.pth"}})
    (tmp_path / "sd15").mkdir()
    model, lpips = doctor.check_weights(own, tmp_path, repository)
    assert model.state is State.MISSING and "model_index.json" in model.found
    assert lpips.state is State.MISSING and "a.pth, which does not exist" in lpips.found
    (tmp_path / "sd15/model_index.json").touch()
    assert "without weights" in doctor.check_weights(own, tmp_path, repository)[0].found


def test_codecs_of_this_environment():
    check = doctor.check_codecs()
    assert check.state is not State.MISSING and "writes H.264" in check.found


def test_the_slowest_rules_come_first():
    def rule(name: str, cpu_s: float, frames: int = 0) -> RuleEstimate:
        return RuleEstimate(name, 2, cpu_s, 0.0, 1e6, 100.0, frames, 1)

    plan = Estimate([rule("a", 30), rule("restyle_shard", 600, 100), rule("train_splat", 120)], 0.1)
    first, second = doctor.slow_rules(plan)
    assert (first.rule, second.rule) == ("restyle_shard", "train_splat")
    assert first.sentence() == "restyling frames: 10.0 min of processor time (2 jobs), 1.7 h for each 1,000 frames"
    assert second.cpu_s_per_1000_frames is None


@pytest.mark.parametrize(
    "version, state", [((3, 10, 1), State.MISSING), ((3, 12, 0), State.OK), ((3, 14, 0), State.MISSING)]
)
def test_python(monkeypatch, version, state):
    monkeypatch.setattr("splatscope.doctor.software.sys.version_info", version)
    assert doctor.check_python().state is state


def test_repository_is_found():
    from splatscope.project import REPOSITORY

    assert (REPOSITORY / "Snakefile").is_file() and isinstance(REPOSITORY, Path)
