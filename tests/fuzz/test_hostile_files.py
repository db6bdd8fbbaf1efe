"""Files made to do harm: to ask for all memory, to reach other files or the network, to run something."""

import ast
import io
import json
import re
import socket
import struct
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from parsers import CALIBRATION, PARSERS, _safetensors, _shard

from splatscope.errors import InputError
from splatscope.images import decode_image
from splatscope.ingest.calibration import read_calibration
from splatscope.ingest.video import read_frames
from splatscope.memory import memory_limit
from splatscope.meshes.mesh_files import read_mesh_file
from splatscope.recordings import read_recordings
from splatscope.shards import read_shard

SPARE = 2**27  # bytes that reading a file of a few kilobytes may take


def png(width: int, height: int, kind: int = 2) -> bytes:
    """A small PNG with another size in its header, its check sum right."""
    import binascii

    content = bytearray(cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    content[16:26] = struct.pack(">IIBB", width, height, 8, kind)
    content[29:33] = struct.pack(">I", binascii.crc32(content[12:29]))
    return bytes(content)


def bmp(width: int, height: int) -> bytes:
    content = bytearray(cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def tiff(width: int, height: int) -> bytes:
    """A TIFF directory that states a size, and one strip of it."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, 16)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(20)


def ply(count: int, properties: str, body: bytes = b"\0" * 100) -> bytes:
    return f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n".encode() + body


def tar_of(**fields) -> bytes:
    """One member of a shard with other fields in its header."""
    info = tarfile.TarInfo(fields.pop("name", "000000.rgb.png"))
    content = fields.pop("content", b"")
    info.size = len(content)
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(1024)


FLOATS = "".join(f"property float {name}\n" for name in ["x", "y", "z", "opacity"])
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
DEEP = b"[" * 100_000
COCO_RUNS = {"size": [3, 4], "counts": [10**12, 10**12]}


def coco_with(segmentation, **image) -> bytes:
    document = json.loads(PARSERS["coco"]().seeds[0])
    document["annotations"][0]["segmentation"] = segmentation
    document["images"][0] |= image
    return json.dumps(document).encode()


BOMBS = {
    "PLY of 10^11 vertices": ("gaussians", ply(10**11, FLOATS)),
    "PLY of 10^11 vertices without properties": ("gaussians", ply(10**11, "")),
    "PLY with a list of 4 * 10^9": ("gaussians", ply(1, "property list uint float a\n", b"\xff" * 40)),
    "mesh: PLY of 10^11 vertices": ("mesh_surface", b"\1" + ply(10**11, FLOATS)),
    "mesh: STL of 4 * 10^9 triangles": ("mesh_surface", b"\0" + bytes(80) + b"\xff\xff\xff\xff" + bytes(50)),
    "mesh: VTK of 10^10 points": (
        "mesh_volume",
        b"\0# vtk DataFile Version 3.0\nx\nBINARY\nDATASET UNSTRUCTURED_GRID\nPOINTS 10000000000 double\n" + bytes(99),
    ),
    "COLMAP of 2^60 cameras": ("colmap_binary", b"\0" + struct.pack("<Q", 2**60)),
    "COLMAP image of 2^62 points": (
        "colmap_binary",
        b"\1" + struct.pack("<QI7dI", 1, 1, 1, 0, 0, 0, 1, 2, 3, 1) + b"a.png\0" + struct.pack("<Q", 2**62),
    ),
    "COLMAP camera of 2^63 pixels": (
        "calibration_colmap",
        b"\0" + struct.pack("<QIiQQ4d", 1, 1, 1, 2**63, 4, 5, 5, 2, 2),
    ),
    "calibration of 10^400 pixels": ("calibration_json", json.dumps(CALIBRATION | {"image_width": 10**400}).encode()),
    "PNG of 65535 x 65535": ("image", png(65535, 65535)),
    "PNG of 5000 x 5000 in 100 bytes": ("image", png(5000, 5000)),
    "BMP of 30000 x 30000": ("image", bmp(30_000, 30_000)),
    "TIFF of 60000 x 60000": ("image", tiff(60_000, 60_000)),
    "style frame: PNG of 12000 x 12000": ("style_frame", png(12_000, 12_000)),
    "tar member of 8 GB": ("shard", tar_of()[:124] + b"77777777777\0" + tar_of()[136:]),
    "safetensors header of 2^60 bytes": ("look", struct.pack("<Q", 2**60) + b"{}"),
    "safetensors tensor of 10^12 numbers": (
        "look",
        (lambda header: struct.pack("<Q", len(header)) + header)(
            b'{"colours":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
        ),
    ),
    "YAML that 9^12 aliases are written out of": ("config", ALIASES.encode()),
    "YAML calibration of aliases": ("calibration_yaml", f"{ALIASES}camera_matrix: *a11\n".encode()),
    "YAML within itself": ("scenario", b"name: &a [*a]\n"),
    "YAML of 100,000 brackets": ("config", DEEP),
    "JSON of 100,000 brackets": ("transforms", DEEP),
    "a number of 5,000 digits": ("transforms", b'{"frames": ' + b"9" * 5000 + b"}"),
    "COCO runs of 10^12 pixels": ("coco", coco_with(COCO_RUNS)),
    "COCO image of 10^9 pixels a side": ("coco", coco_with([[0, 0, 1, 0, 1, 1]], width=10**9, height=10**9)),
    "COCO polygon of 10^9 pixels": ("coco", coco_with([[0, 0, 1e9, 0, 1e9, 1e9]])),
    "COCO string of runs beyond the mask": ("coco", coco_with({"size": [3, 4], "counts": "ooooN3" * 3})),
    "tracker log of one line of 3 * 10^5 blanks": ("tracker_toolbox", b"Tools,Port 1: a" + b" " * 300_000 + b"b\n1\n"),
    "tracker log of 40,000 columns": (
        "tracker_wall_clock",
        (
            "hour,minutes,seconds,ms," + ",".join(f"qo{n},qx{n},qy{n},qz{n},x{n},y{n},z{n}" for n in range(6000))
        ).encode(),
    ),
    "frame number of 5,000 digits": ("tracker_plus", b"NDims = 3\nSeq_Frame" + b"1" * 5000 + b"_Timestamp = 1\n"),
}


@pytest.mark.parametrize("parser, content", BOMBS.values(), ids=BOMBS)
def test_small_files_cannot_ask_for_much(tmp_path, parser, content):
    made = PARSERS[parser]()
    path = tmp_path / made.file
    path.write_bytes(content)
    with memory_limit(SPARE), pytest.raises(InputError):
        made.read(path)


@pytest.mark.parametrize("suffix", [".bdf", ".nas"])
def test_formats_whose_reader_may_never_end_are_not_read(tmp_path, suffix):
    path = tmp_path / f"mesh{suffix}"
    path.write_text("ENDDATA\nGRID*   1                                          0.E+0           0.E+0\n*\n")
    with pytest.raises(InputError, match="not read"):
        read_mesh_file(path)


@pytest.mark.parametrize("compression", ["gz", "xz", "bz2"])
def test_compressed_shards_are_refused(tmp_path, compression):
    """A kilobyte of them can unpack to gigabytes."""
    path, packed = tmp_path / "s.tar", io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as tar:
        tar.addfile(tarfile.TarInfo("000000.rgb.png"))
    path.write_bytes(packed.getvalue())
    with pytest.raises(InputError, match="a frame shard"):
        list(read_shard(path))


MEMBERS = {
    "path to a parent": {"name": "../../000000.rgb.png"},
    "absolute path": {"name": "/etc/000000.rgb.png"},
    "folder in the key": {"name": "a/000000.rgb.png"},
    "link to a file outside": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "link to itself": {"type": tarfile.LNKTYPE, "linkname": "000000.rgb.png"},
    "device": {"type": tarfile.CHRTYPE},
    "folder": {"type": tarfile.DIRTYPE},
    "sparse file": {"type": tarfile.GNUTYPE_SPARSE},
}


@pytest.mark.parametrize("fields", MEMBERS.values(), ids=MEMBERS)
def test_members_that_lead_elsewhere_are_refused(tmp_path, fields):
    path = tmp_path / "s.tar"
    path.write_bytes(tar_of(**fields))
    with pytest.raises(InputError):
        list(read_shard(path))


def test_names_in_coco_files_only_choose_frames(tmp_path):
    made = PARSERS["coco"]()
    document = json.loads(made.seeds[0])
    document["images"][0]["file_name"] = "../../../etc/000000.png"
    (tmp_path / made.file).write_text(json.dumps(document))
    ((frame, rows),) = made.read(tmp_path / made.file)
    assert frame.key == "000000" and len(rows) == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "a;rm", "{x}", "*", "a" * 65, "-a", ".", "a\\", "$(x)", "Ä"])
def test_recordings_names_that_are_no_file_names_are_refused(tmp_path, name):
    """They become wildcards, and names of files."""
    table = tmp_path / "r.tsv"
    table.write_text(f"name\trole\tvideo\n{name}\tbackground\tmade/v.mp4\n")
    with pytest.raises(InputError, match="column name"):
        read_recordings(table, made_here="made")


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:1,\n{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_a_playlist_named_video_fetches_nothing(tmp_path, playlist):
    path = tmp_path / "v.mp4"
    with socket.create_server(("127.0.0.1", 0)) as server:
        path.write_text(playlist.format(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"))
        with pytest.raises(InputError):
            list(read_frames(path))
        server.settimeout(0)  # a connection, if there was one, waits in the queue
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_file_name_is_never_taken_for_a_protocol_or_an_option(tmp_path, monkeypatch):
    from ingest_material import write_video

    monkeypatch.chdir(tmp_path)
    write_video(Path("plain.mp4"), [np.full((64, 64, 3), level, np.uint8) for level in (10, 90, 200)])
    for name in ("concat:plain.mp4|plain.mp4", "-i.mp4", "http:x.mp4", "pipe:0"):
        Path(name).write_bytes(Path("plain.mp4").read_bytes())
        assert len(list(read_frames(name))) == 3, name


def test_messages_show_no_control_characters(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(CALIBRATION | {"distortion_model": "\x1b[2J\ud800\n\u202e"}))
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    message = str(caught.value)
    assert message.encode() and "\x1b" not in message and "\u202e" not in message
    assert len(message.splitlines()) == 4


def test_a_lora_cannot_say_what_peft_is_to_match_or_make(tmp_path):
    made = PARSERS["lora"]()
    halves = {"A": np.ones((1, 3), np.float32), "B": np.ones((2, 1), np.float32)}
    tensors = {f"unet.proj_in.lora_{half}.weight": value for half, value in halves.items()}
    about = {"unet.r": 10**9, "unet.lora_alpha": 2, "unet.target_modules": "(a+)+$", "unet.auto_mapping": {"a": "b"}}
    (tmp_path / "l.safetensors").write_bytes(_safetensors(tensors, {"lora_adapter_metadata": json.dumps(about)}))
    settings = made.read(tmp_path / "l.safetensors")[2]["unet"]
    assert settings["unet.r"] == 1 and settings["unet.target_modules"] == ["proj_in"]
    assert set(settings) == {
        f"unet.{name}" for name in ("r", "rank_pattern", "target_modules", "lora_alpha", "alpha_pattern", "use_rslora")
    }


def test_frames_come_whole_from_sound_shards(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(_shard(True, 1))
    (frame,) = read_shard(path)
    assert frame.key == "000000" and frame.depth_mm.max() == 80
    assert decode_image(frame.stored["rgb.png"]).shape == (3, 4, 3)


def test_nothing_here_unpickles_runs_a_shell_or_unpacks_blindly(repository):
    """Calls that hostile files could use, as they stand in the source."""
    found = []
    sources = [*(repository / "workflow").rglob("*.py"), *(repository / "bench").rglob("*.py")]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                bad = name in ("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load")
                bad |= name.split(".")[-1] in ("extractall", "extract", "unpack_archive")
                bad |= re.match(r"(c?pickle|dill|joblib|marshal|shelve)\.", name) is not None
                bad |= name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False"
                bad |= name == "torch.load" and given.get("weights_only") != "True"
                bad |= name == "yaml.load" and "Safe" not in given.get("Loader", "")
                bad |= given.get("shell", "False") != "False"
                if bad:
                    found.append(f"{path.relative_to(repository)}:{node.lineno}: {name}")
    assert not found, "\n".join(found)


def test_rules_quote_every_file_name(repository):
    """In `shell:` a placeholder is followed by :q, so that no name is read as a command."""
    unquoted = []
    for path in (repository / "workflow/rules").glob("*.smk"):
        for block in re.findall(r"\n    shell:\n((?:        .*\n)+)", path.read_text()):
            unquoted += [
                f"{path.name}: {place}" for place in re.findall(r"(?<!{){[^{}]+}", block) if ":q}" not in place
            ]
    assert not unquoted, unquoted
