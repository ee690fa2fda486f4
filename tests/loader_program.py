"""A program that loads a data set of `.rnc` files in the workers of torch's DataLoader, run by test_processes.py.

Arguments: START_METHOD WEIGHTS FOLDER
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import pillow_rnc
from pillow_rnc.models import weights


class Pictures(Dataset[torch.Tensor]):
    """The pictures of a folder; knows Pillow only."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.rnc"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as im:
            return torch.frombuffer(bytearray(im.tobytes()), dtype=torch.uint8)


def start_worker(_index: int, *, path: Path) -> None:
    """Do what a spawned worker must: import us, and here make the model of the test known."""
    pillow_rnc.register_rnc_opener()
    weights.register(path)


def wait_for_threads() -> None:
    """Wait for the thread of a queue that torch leaves running.

    It may be the last to hold the queue's semaphores. If the program ends while it gives them back, the tracker of
    resources says on standard error that they leaked.
    """
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()


def main(method: str, path: Path, folder: Path) -> None:
    weights.register(path)
    for number in range(3):
        im = Image.linear_gradient("L").resize((40, 30)).rotate(90 * number)
        im.save(folder / f"{number}.rnc", model="tiny", iterations=2)
    torch.set_num_threads(2)
    pictures = Pictures(folder)
    here = torch.stack([pictures[index] for index in range(3)])
    loader = DataLoader(
        pictures,
        batch_size=1,
        num_workers=1,  # torch warns of more on a machine of one core
        multiprocessing_context=method,
        worker_init_fn=partial(start_worker, path=path),
        timeout=90,
    )
    assert torch.equal(torch.cat(list(loader)), here)
    wait_for_threads()
    print("the same everywhere")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
