"""Kernel launches that are repeated every substep, recorded once per interval."""

from __future__ import annotations

from collections.abc import Sequence

import warp as wp


class Launches:
    """A list of launches in order; parameters named `step` take the substep's number when replayed."""

    def __init__(self, device: str):
        self._device = device
        self._launches: list[tuple[wp.Launch, int | None]] = []

    def add(self, kernel: wp.Kernel, count: int, arguments: Sequence) -> None:
        if count == 0:
            return
        launch = wp.launch(kernel, dim=count, inputs=arguments, device=self._device, record_cmd=True)
        labels = [argument.label for argument in kernel.adj.args]
        self._launches.append((launch, labels.index("step") if "step" in labels else None))

    def add_coloured(self, kernel: wp.Kernel, ranges: Sequence[tuple[int, int]], arguments: Sequence) -> None:
        """Constraints sorted by colour; the kernel's last argument is where its range starts.

        On CUDA a launch per colour. The CPU runs a launch in order, so there one launch of all is the same.
        """
        if self._device == "cpu" and ranges:
            ranges = [(ranges[0][0], ranges[-1][1])]
        for start, end in ranges:
            self.add(kernel, end - start, [*arguments, start])

    def run(self, step: int) -> None:
        for launch, index in self._launches:
            if index is not None:
                launch.set_param_at_index(index, step)
            launch.launch()
