"""A Slurm cluster on this one machine: munge, slurmctld and a slurmd for each node, from Debian's packages.

Needs root, but no systemd, cgroups or accounting. Everything lies in one folder, and the daemons run in the foreground
as children of this process and die with it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from splatscope.jobs import die_with_parent

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "srun")
SYSTEM_CONFIGURATION = Path("/etc/slurm/slurm.conf")
MARK = "SLURM_HOST_FOLDER"  # in the environment of every process of this cluster: whose it is
NODE = "SLURMD_NODENAME"  # Slurm sets it for jobs; we for slurmd, whose slurmstepd inherits it


class ClusterUnavailable(Exception):
    """This machine cannot run the cluster; the message says why and what mends it."""


@dataclass
class SlurmHost:
    """Nodes n1, n2, ... of four cores and 4 GB each, whatever the machine has.

    The last one has two GPUs that Slurm counts and hands out; they are null devices.

    with SlurmHost(folder) as cluster: subprocess.run(["sbatch", ...], env=os.environ | cluster.environment)
    """

    folder: Path
    nodes: int = 3
    _daemons: dict[str, subprocess.Popen] = field(default_factory=dict, init=False, repr=False)

    def __enter__(self) -> SlurmHost:
        refuse_unfit_machine()
        try:
            self._write_configuration()
            self._start_daemons()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need, and what tells the jobs' processes from those of others."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), MARK: str(self.folder)}

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def running_jobs(self, node: str) -> list[str]:
        return self.ask("squeue", "--noheader", "--states=running", f"--nodelist={node}", "--format=%i").split()

    def node_state(self, node: str) -> str:
        """IDLE, MIXED, DOWN+NOT_RESPONDING... (sinfo goes on calling a lost node mixed while its jobs are put back)"""
        return re.search(r"State=(\S+)", self.ask("scontrol", "show", "node", node))[1]

    def finished_jobs(self) -> list[dict[str, str]]:
        """Every job that Slurm still remembers (MinJobAge), as scontrol has it: JobState, NodeList, Restarts..."""
        lines = self.ask("scontrol", "--oneliner", "show", "jobs").splitlines()
        lines = [line for line in lines if line.startswith("JobId=")]  # "No jobs in the system"
        return [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]

    def kill_node(self, node: str) -> int:
        """End slurmd, its slurmstepd and all jobs' processes of a node at once, as a loss of power would.

        Returns how many processes that were.
        """
        ended: set[int] = set()
        while victims := _processes(f"{MARK}={self.folder}", f"{NODE}={node}"):
            for pid in victims:
                _kill(pid)
            ended |= victims
            time.sleep(0.05)
        self._daemons.pop(f"slurmd {node}").wait()
        return len(ended)

    def start_node(self, node: str) -> None:
        self._start(f"slurmd {node}", ["slurmd", "-D", "-N", node], {NODE: node})
        _wait_for(lambda: self.node_state(node) == "IDLE", f"slurmd {node}", self)

    def stop(self) -> None:
        if SYSTEM_CONFIGURATION.is_symlink() and SYSTEM_CONFIGURATION.readlink() == self.folder / "slurm.conf":
            SYSTEM_CONFIGURATION.unlink()
        for daemon in reversed(list(self._daemons.values())):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        for pid in _processes(f"{MARK}={self.folder}", f"{NODE}="):  # jobs that outlived their slurmd
            _kill(pid)

    def log(self, name: str) -> str:
        """The end of a daemon's log, for messages."""
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace")[-2000:] if file.exists() else "(no log)"

    def _write_configuration(self) -> None:
        host, folder = socket.gethostname().partition(".")[0], self.folder
        control, *ports = _free_ports(1 + self.nodes)
        for name in ("state", *(f"spool_{node}" for node in self.names)):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):  # Slurm counts GPUs only where there are character devices
            os.mknod(folder / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))  # like /dev/null
        gpu = f"NodeName={self.names[-1]} Name=gpu File={folder}/gpu[0-1] Flags=nvidia_gpu_env\n"
        (folder / "gres.conf").write_text(gpu)
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={control}",
            "SlurmUser=root",
            "AuthType=auth/munge",
            # a requeued job waits until its old credential is void, two minutes if not told otherwise
            f"AuthInfo=socket={folder}/munge.socket,cred_expire=10",
            f"SlurmctldPidFile={folder}/slurmctld.pid",
            f"SlurmdPidFile={folder}/slurmd_%n.pid",
            f"SlurmdSpoolDir={folder}/spool_%n",
            f"StateSaveLocation={folder}/state",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "JobCompType=jobcomp/none",
            "MpiDefault=none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1",
            "SlurmdParameters=config_overrides",  # the nodes share one machine; believe what is written here
            "SlurmdTimeout=10",  # a lost node is found in seconds
            "ReturnToService=2",  # a node that comes back after it was lost takes jobs again
            "KillWait=2",
            "MinJobAge=600",  # without accounting only slurmctld knows how a job ended
            "GresTypes=gpu",
            "NodeName=DEFAULT CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000",
        ]
        for node, port in zip(self.names, ports):
            gres = " Gres=gpu:2" if node == self.names[-1] else ""
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}{gres}")
        lines.append("PartitionName=all Nodes=ALL Default=YES LLN=YES DefaultTime=10 MaxTime=240")
        (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))

    def _start_daemons(self) -> None:
        folder = self.folder
        munge = [
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
        ]
        munge += [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed"]
        self._start("munged", [*munge, f"--log-file={folder}/munge.log"])
        _wait_for(lambda: (folder / "munge.socket").exists(), "munged", self)
        # a job step of the Slurm executor is started without SLURM_CONF
        SYSTEM_CONFIGURATION.parent.mkdir(exist_ok=True)
        SYSTEM_CONFIGURATION.unlink(missing_ok=True)
        SYSTEM_CONFIGURATION.symlink_to(folder / "slurm.conf")
        self._start("slurmctld", ["slurmctld", "-D"])
        _wait_for(self._controller_answers, "slurmctld", self)
        for node in self.names:
            self.start_node(node)

    def _controller_answers(self) -> bool:
        try:
            return "UP" in self.ask("scontrol", "ping")
        except RuntimeError:
            return False

    def _start(self, name: str, command: list[str], extra: dict[str, str] | None = None) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env=os.environ | self.environment | (extra or {}),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=die_with_parent,
            )


def refuse_unfit_machine() -> None:
    """Raises ClusterUnavailable unless this machine can be the cluster."""
    if os.geteuid() != 0:
        raise ClusterUnavailable("Slurm's daemons start jobs for users, so this test needs root")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ClusterUnavailable(
            f"{', '.join(missing)} not found: install the packages in envs/apt-cluster.txt (Debian)"
        )
    if SYSTEM_CONFIGURATION.exists() and not _ours(SYSTEM_CONFIGURATION):
        raise ClusterUnavailable(f"{SYSTEM_CONFIGURATION} is there: this machine is part of a Slurm cluster already")


def _ours(link: Path) -> bool:
    """A link that a run of this test left behind, which is dead or leads to a cluster that no longer runs."""
    if not link.is_symlink():
        return False
    folder = link.readlink().parent
    return not _processes(f"{MARK}={folder}", f"{NODE}=")


def _processes(*variables: str) -> set[int]:
    """Ids of the living processes that have these in their environment; NAME= stands for any value."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            zombie = b") Z " in (entry / "stat").read_bytes()
        except OSError:  # it has just ended
            continue
        if not zombie and all(_has(environment, variable.encode()) for variable in variables):
            found.add(int(entry.name))
    return found


def _has(environment: list[bytes], variable: bytes) -> bool:
    if variable.endswith(b"="):
        return any(entry.startswith(variable) for entry in environment)
    return variable in environment


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _wait_for(condition: Callable[[], bool], name: str, cluster: SlurmHost, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end or cluster._daemons[name].poll() is not None:
            raise RuntimeError(f"{name} does not come up:\n{cluster.log(name)}")
        time.sleep(0.1)
