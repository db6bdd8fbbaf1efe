"""The command `splatscope view`, from its arguments to its end."""

from __future__ import annotations

import signal
import threading
import webbrowser
from pathlib import Path

from splatscope.errors import InputError
from splatscope.viewer.local_server import LocalServer, is_loopback
from splatscope.viewer.recipe_file import start_settings
from splatscope.viewer.results import load_results
from splatscope.viewer.viewer import Viewer


def serve(
    folder: Path,
    recipe: Path,
    config_files: list[str],
    class_table: Path,
    host: str,
    port: int,
    *,
    open_browser: bool,
) -> int:
    """Serve the page until SIGINT or SIGTERM; the exit code.

    Raises InputError for results that hold no splat, invalid settings, and an address where nothing can listen.
    """
    if not Path(folder).is_dir():
        raise InputError(
            folder, found="no such folder", expected="the results of a run", remedy="name the folder of results"
        )
    config = start_settings(config_files, recipe)
    results = load_results(folder, class_table, config.compose, config.device)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    server = LocalServer(host, port)
    viewer = Viewer(server, results, config.compose, recipe, config.seed)
    try:
        print(f"{folder} at {server.url} (Ctrl-C ends)", flush=True)
        if not is_loopback(host):
            print(f"Everybody who reaches this machine on port {server.get_port()} can look and steer.", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        ended.wait()
    finally:
        viewer.stop()
        server.stop()
    return 0
