import re

import pytest

from splatscope.errors import InputError
from splatscope.recordings import Role, read_recordings

HEADER = "name\trole\tvideo\ttracker\n"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.csv").touch()

    def write(content: str):
        (tmp_path / "recordings.tsv").write_text(content)
        return "recordings.tsv"

    return write


def test_rows_are_read(table):
    path = table("# comment\n" + HEADER + "liver\tbackground\ta.mp4\ta.csv\nprobe\ttool\ta.mp4\t-\n")
    liver, probe = read_recordings(path)
    assert (liver.name, liver.role, str(liver.tracker)) == ("liver", Role.BACKGROUND, "a.csv")
    assert probe.tracker is None and set(probe.files) == {"video"}


def test_files_made_by_a_rule_need_not_exist(table):
    path = table(HEADER + "liver\tbackground\tresults/phantom/liver/video.mp4\t-\n")
    assert read_recordings(path, made_here="results/phantom")
    with pytest.raises(InputError, match="does not exist"):
        read_recordings(path)


MALFORMED = {
    "empty file": ("", "an empty table"),
    "unknown column": ("name\trole\tvideo\tcolour\n", r"line 1 \(header\).*unknown \['colour'\]"),
    "missing column": ("name\tvideo\n", r"missing \['role'\]"),
    "column twice": ("name\trole\tvideo\tvideo\n", r"twice"),
    "spaces for tabs": ("name role video\n", "separate the columns by tabs"),
    "cells missing": (HEADER + "liver\tbackground\n", "line 2.*2 cells"),
    "unknown role": (HEADER + "liver\tbackgruond\ta.mp4\t-\n", "line 2, column role.*'backgruond'"),
    "no video": (HEADER + "liver\tbackground\t-\t-\n", "line 2, column video.*nothing"),
    "missing video": (HEADER + "liver\tbackground\tb.mp4\t-\n", "line 2, column video.*b.mp4, which does not exist"),
    "missing log": (HEADER + "liver\tbackground\ta.mp4\tb.csv\n", "line 2, column tracker.*b.csv"),
    "name twice": (
        HEADER + "liver\tbackground\ta.mp4\t-\n\nliver\tscene\ta.mp4\t-\n",
        "line 4, column name.*a second time",
    ),
    "path in name": (HEADER + "../liver\tbackground\ta.mp4\t-\n", "line 2, column name"),
    "reserved name": (HEADER + "truth\tbackground\ta.mp4\t-\n", "line 2, column name"),
    "no background": (HEADER + "probe\ttool\ta.mp4\t-\n", "at least one background"),
}


@pytest.mark.parametrize("content, message", MALFORMED.values(), ids=MALFORMED)
def test_malformed_tables_are_refused(table, content, message):
    with pytest.raises(InputError) as caught:
        read_recordings(table(content))
    assert str(caught.value).startswith("recordings.tsv")
    assert re.search(message, str(caught.value), re.DOTALL)
    assert "to mend:" in str(caught.value)


def test_missing_table():
    with pytest.raises(InputError, match=r"nowhere\.tsv"):
        read_recordings("nowhere.tsv")
