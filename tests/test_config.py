import difflib
import json
import re

import pytest
import yaml

from splatscope.config import generate
from splatscope.config.compose import ComposeConfig
from splatscope.config.load import check_config, load_config
from splatscope.config.model import Config
from splatscope.config.simulate import SimulateConfig
from splatscope.errors import InputError


@pytest.mark.parametrize("name", generate.generated_files())
def test_generated_files_are_current(repository, name):
    committed, current = (repository / name).read_text(), generate.generated_files()[name]
    difference = "".join(
        difflib.unified_diff(committed.splitlines(True), current.splitlines(True), "committed", "model")
    )
    assert not difference, f"{name} is not what the typed model generates; run `make config`\n{difference}"


def test_default_file_holds_the_defaults():
    assert check_config(yaml.safe_load(generate.default_yaml())) == Config()


def test_shipped_settings_are_valid(repository):
    files = sorted([*(repository / "config").glob("paper*.yaml"), *(repository / "config" / "paper").glob("*.yaml")])
    assert len(files) >= 4
    for file in files:
        assert load_config(file) != Config()


def test_every_key_says_what_it_is():
    def undescribed(schema: dict, where: str) -> list[str]:
        return [
            f"{where}.{name}"
            for name, field in schema.get("properties", {}).items()
            if not field.get("description") and "$ref" not in field
        ]

    schema = json.loads(generate.json_schema())
    missing = undescribed(schema, "config")
    for name, definition in schema["$defs"].items():
        missing += undescribed(definition, name)
    assert not missing


MALFORMED = {
    "unknown key": ("seed: 3\nsplat:\n  iteratons: 5\n", r"line 3, key splat\.iteratons.*did you mean iterations"),
    "unknown section": ("splats: {}\n", r"line 1, key splats.*did you mean splat\?"),
    "wrong type": ("seed: many\n", r"line 1, key seed.*'many'.*integer"),
    "out of range": ("seed: -1\n", r"key seed.*-1.*greater than or equal to 0"),
    "settings that do not fit": (
        "splat:\n  strategy: default\n  opacity_reset_every: 150\n",
        r"line 1, key splat.*multiple of refine_every, got 150 and 100",
    ),
    "section is a number": ("splat: 3\n", r"line 1, key splat"),
    "no mapping": ("- 1\n", "list"),
    "no YAML": ("a: [1\n", r"line 2"),
}


@pytest.mark.parametrize("content, message", MALFORMED.values(), ids=MALFORMED)
def test_malformed_config_is_refused(tmp_path, content, message):
    path = tmp_path / "my.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert re.search(message, str(caught.value), re.DOTALL), caught.value


def test_all_wrong_keys_are_listed_at_once(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("seed: x\nsplats: 1\n")
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert "seed" in str(caught.value) and "splats" in str(caught.value)


def test_missing_file():
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        load_config("nowhere.yaml")


def test_more_operations_leave_those_there_are_alone():
    settings = [SimulateConfig(episodes=count).of_a_job() for count in (8, 9)]
    assert settings[0] == settings[1] and SimulateConfig.model_validate(settings[0]).max_duration_s == 150
    assert SimulateConfig(width=64).of_a_job() != settings[0]
    assert "recipe" not in ComposeConfig().of_a_job("recipe")
