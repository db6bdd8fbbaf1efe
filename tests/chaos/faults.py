"""The kinds of faults. Each is a function that is given a `Scene`, runs the command once while it goes wrong, and
mends what a user would mend (a full disk, a read-only one). Damaged results stay damaged, locks stay locked."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from undisturbed import Job, Undisturbed
from working_directory import WorkingDirectory, jobs_of, members

from splatscope.records import FOLDER_MANIFEST

ROOM_BYTES = (2**18, 2**22)  # left on the disk that is going to be full
OTHER_SETTINGS = ("simulate={'image_noise': 0.5}", "annotate={'min_area_px': 30}")


@dataclass
class Scene:
    """Where a fault happens: a copy of the undisturbed run in which some jobs are still to be done."""

    directory: WorkingDirectory
    undisturbed: Undisturbed
    unfinished: set[Job]
    rng: random.Random
    complaints: list[str] = field(default_factory=list)  # what did not go as it should, besides wrong bytes

    def moment(self) -> float:
        """Seconds from the start of a run to a random moment before its end."""
        work = sum(job.seconds for job in self.unfinished)
        # hardly ever before the first job begins, where there is little to break
        return self.rng.uniform(0.8 * self.undisturbed.starting_s, self.undisturbed.starting_s + work)

    def wait(self, process: subprocess.Popen, seconds: float) -> None:
        """Let the run go on for so long, or to its end."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def finished_results(self, *, read: bool | None = None) -> list[Path]:
        """Results that are there and not empty; of these those that some job reads, or those that none does."""
        missing = {output for job in self.unfinished for output in job.outputs}
        replaced = {str(Path(path).parent) for path in missing if Path(path).name == FOLDER_MANIFEST}
        paths = [
            path
            for path in sorted(self.undisturbed.digests.keys() - missing)
            if read in (None, path in self.undisturbed.readers) and replaced.isdisjoint(map(str, Path(path).parents))
        ]
        return [file for path in paths if (file := self.directory.result(path)).stat().st_size > 0]

    def expect(self, words: str, output: str) -> None:
        if words not in output:
            self.complaints.append(f"nothing said of {words!r}")


def kill_main(scene: Scene) -> None:
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    process.kill()
    scene.directory.finish(process)


def kill_job(scene: Scene) -> None:
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    while process.poll() is None:
        if jobs := jobs_of(process):
            kill(scene.rng.choice(sorted(jobs)))
            break
        time.sleep(0.02)
    scene.directory.finish(process)


def kill_job_of_other_settings(scene: Scene) -> None:
    """Settings are changed, a job that is to make an old result anew is killed, the settings are changed back."""
    usual = scene.directory.arguments
    scene.directory.arguments = ("--config", scene.rng.choice(OTHER_SETTINGS), *usual)
    kill_job(scene)
    scene.directory.arguments = usual


def kill_both(scene: Scene) -> None:
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    for pid in (process.pid, *members(process.pid)):
        kill(pid)
    scene.directory.finish(process)


def terminate_main(scene: Scene) -> None:
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    if process.poll() is None:
        process.terminate()
    scene.directory.finish(process)


def interrupt_all(scene: Scene) -> None:
    """Ctrl-C."""
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    scene.directory.finish(process)


def fill_disk(scene: Scene) -> None:
    """The working directory on a disk of its own, with too little room for what is still to come."""
    folder = scene.directory.folder
    used = sum(path.lstat().st_blocks * 512 + 4096 for path in folder.rglob("*"))
    aside = folder.with_suffix(".moved")
    folder.rename(aside)
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={used + scene.rng.randint(*ROOM_BYTES)}", "none", str(folder))
    shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(aside)
    if scene.directory.run() != 0:
        scene.expect("no space left", scene.directory.outputs[-1].lower())
    mount("-o", "remount,size=4g", str(folder))


def forbid_writing(scene: Scene) -> None:
    """Results that cannot be written, from the start or from some moment on, for the length of a run."""
    results = str(scene.directory.result("results"))
    mount("--bind", results, results)
    if scene.rng.random() < 0.5:
        mount("-o", "remount,ro,bind", results)
        code = scene.directory.run()
    else:
        process = scene.directory.start()
        scene.wait(process, scene.moment())
        while process.poll() is None and not mounted_read_only(results):
            time.sleep(0.02)  # refused as long as a file is open for writing
        code = scene.directory.finish(process)
    if code != 0:
        scene.expect("read-only file system", scene.directory.outputs[-1].lower())
    mount("-o", "remount,rw,bind", results)


def truncate_intermediate(scene: Scene) -> None:
    truncate(scene.rng.choice(scene.finished_results(read=True)), scene.rng)
    scene.directory.run()
    scene.expect("Damaged: ", scene.directory.outputs[-1])


def flip_intermediate(scene: Scene) -> None:
    flip(scene.rng.choice(scene.finished_results(read=True)), scene.rng)
    scene.directory.run()
    scene.expect("Damaged: ", scene.directory.outputs[-1])


def flip_final(scene: Scene) -> None:
    """A result that no job reads, such as an image of the dataset."""
    flip(scene.rng.choice(scene.finished_results(read=False)), scene.rng)
    scene.directory.run()
    scene.expect("Damaged: ", scene.directory.outputs[-1])


def damage_while_running(scene: Scene) -> None:
    process = scene.directory.start()
    scene.wait(process, scene.moment())
    scene.rng.choice([flip, truncate])(scene.rng.choice(scene.finished_results()), scene.rng)
    scene.directory.finish(process)


def run_twice_at_once(scene: Scene) -> None:
    first = scene.directory.start()
    time.sleep(scene.rng.uniform(0, scene.undisturbed.starting_s))
    other = WorkingDirectory(scene.directory.folder, scene.directory.arguments, ["", "", "", "", ""])
    second = other.start()
    codes = [scene.directory.finish(first), other.finish(second)]
    refused = "another run at work here" in "".join([scene.directory.outputs[-1], other.outputs[-1]])
    if 0 not in codes:
        scene.complaints.append("each of two runs disturbed the other")
    if codes != [0, 0] and not refused:
        scene.complaints.append("a second run was not told of the first")


def jump_clock(scene: Scene) -> None:
    """Results dated in the future or long ago."""
    shift = scene.rng.choice([-20, -1, 1, 20]) * 365 * 86_400
    for path in scene.finished_results():
        if scene.rng.random() < 0.4:
            moment = path.stat().st_mtime + shift
            os.utime(path, (moment, moment))
    scene.directory.run()
    if scene.directory.run() != 0 or "Nothing to be done" not in scene.directory.outputs[-1]:
        scene.complaints.append("the times of files had things made again and again")


def delete_file(scene: Scene) -> None:
    """A result that jobs still to be done need."""
    needed = {path for job in scene.unfinished for path in job.inputs}
    victims = [path for path in scene.finished_results() if str(path.relative_to(scene.directory.folder)) in needed]
    if victims:
        scene.rng.choice(victims).unlink()
    scene.directory.run()


KINDS: dict[str, Callable[[Scene], None]] = {
    "kill -9 the main process": kill_main,
    "kill -9 a job": kill_job,
    "job killed, other settings": kill_job_of_other_settings,
    "kill -9 all": kill_both,
    "SIGTERM": terminate_main,
    "SIGINT (Ctrl-C)": interrupt_all,
    "full disk": fill_disk,
    "read-only results": forbid_writing,
    "intermediate cut short": truncate_intermediate,
    "bit flipped, intermediate": flip_intermediate,
    "bit flipped, final": flip_final,
    "damage during a run": damage_while_running,
    "two runs at once": run_twice_at_once,
    "clock jump": jump_clock,
    "deleted file": delete_file,
}


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def truncate(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(max(path.stat().st_size, 1)))


def flip(path: Path, rng: random.Random) -> None:
    """Flip one bit; the times of the file stay those of before, as far as a program can have it."""
    stat = path.stat()
    place = rng.randrange(stat.st_size)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def mounted_read_only(place: str) -> bool:
    return subprocess.run(["mount", "-o", "remount,ro,bind", place], capture_output=True).returncode == 0
