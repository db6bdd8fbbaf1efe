"""Stage simulate: one episode to its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from splatscope.config.simulate import SimulateConfig
from splatscope.files import write_table
from splatscope.shards import Frame, write_shard
from splatscope.simulate.episode import Episode
from splatscope.simulate.operation.labels import event_table, log_table, triplet_table
from splatscope.simulate.operation.scenario import load_scenario
from splatscope.video import open_video


def simulate_episode(
    index: int,
    scenario_file: str | Path,
    config: SimulateConfig,
    seed: int,
    class_names: dict[int, str],
    *,
    frames_tar: str | Path,
    triplets_parquet: str | Path,
    events_parquet: str | Path,
    log_parquet: str | Path,
    video_mp4: str | Path,
    provenance: dict | None = None,
    device: str = "cpu",
) -> None:
    """Run one operation and write its frames (a shard), its tables (see operation.labels) and its video.

    Equal arguments give equal bytes. Raises InputError for a scenario that cannot be carried out.
    """
    episode = Episode(index, load_scenario(scenario_file), config, seed, class_names, device)
    size = (config.width, config.height, config.frames_per_second, config.video_crf)
    with open_video(video_mp4, *size) as append:

        def filmed() -> Iterator[Frame]:
            for number, frame in enumerate(episode.frames(), start=1):
                append(frame.rgb)
                if number % 25 == 0:
                    print(f"episode {index}: {number} frames, {frame.meta['time_s']:.1f} s", flush=True)
                yield frame

        write_shard(frames_tar, filmed(), provenance)
    write_table(triplets_parquet, triplet_table(episode.commands))
    write_table(events_parquet, event_table(episode.events))
    write_table(log_parquet, log_table(episode.log))
    print(f"episode {index}: {len(episode.commands)} frames, {len(episode.events)} events", flush=True)
