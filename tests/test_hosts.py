"""Host programs, run for real: `python -m pytest -m hosts` with the extra `hosts` installed.

They are not part of the default run, because they are large; there pytest counts them as deselected.
A host that is missing is an error here, not a skip.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import register_rnc_opener
from pillow_rnc.contrib.pyinstaller import get_hook_dirs
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

REPOSITORY = str(Path(pillow_rnc.__file__).parents[1])

pytestmark = [
    pytest.mark.hosts,
    # Their own warnings are not ours to mend.
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(autouse=True)
def tiny_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hosts name no model, so the tiny one stands in for the released ones."""
    monkeypatch.setattr(weights, "_manifest", tuple)
    register_tiny_codec(tmp_path_factory.mktemp("weights"))
    yield
    register_rnc_opener()


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.asarray(Image.linear_gradient("L").resize((40, 30)).convert("RGB"))


@pytest.fixture
def path(tmp_path: Path, pixels: NDArray[np.uint8]) -> Path:
    path = tmp_path / "a.rnc"
    Image.fromarray(pixels).save(path, tile_size=64)
    return path


@pytest.fixture
def expected(path: Path) -> NDArray[np.uint8]:
    return np.asarray(pillow_rnc.open(path))


def test_imageio_reads_and_writes(path: Path, pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    import imageio.v2
    import imageio.v3

    from pillow_rnc.contrib.imageio import register_extension

    assert np.array_equal(imageio.v3.imread(path), expected)
    assert np.array_equal(imageio.v3.imread(path.read_bytes()), expected)
    assert np.array_equal(imageio.v2.imread(path), expected)
    assert imageio.v3.improps(path).shape == (30, 40, 3)
    assert imageio.v3.immeta(path)["rnc"]["iterations"] == 4
    imageio.v3.imwrite(path, pixels, iterations=2)
    assert pillow_rnc.info(path)["iterations"] == 2
    register_extension()
    register_extension()
    encoded = imageio.v3.imwrite("<bytes>", pixels, extension=".rnc")
    assert pillow_rnc.open(io.BytesIO(encoded)).size == (40, 30)
    stream = io.BytesIO()
    imageio.v3.imwrite(stream, pixels, extension=".rnc")
    assert stream.getvalue() == encoded


def test_scikit_image_reads_and_writes(path: Path, pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    from skimage import io as skimage_io

    assert np.array_equal(skimage_io.imread(path), expected)
    skimage_io.imsave(path, pixels)
    assert np.array_equal(skimage_io.imread(path), np.asarray(pillow_rnc.open(path)))


def test_matplotlib_reads_and_writes(path: Path, pixels: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    assert np.array_equal(plt.imread(path), expected)
    plt.imsave(path, pixels, pil_kwargs={"iterations": 2})
    assert pillow_rnc.info(path)["iterations"] == 2


def test_a_figure_of_matplotlib_is_saved_by_way_of_its_pixels(tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
    axes.plot([1, 3, 2])
    with pytest.raises(ValueError, match="rnc"):
        figure.savefig(tmp_path / "a.rnc")
    figure.canvas.draw()
    canvas: Any = figure.canvas  # what it can do depends on the backend
    Image.fromarray(np.asarray(canvas.buffer_rgba())).save(tmp_path / "a.rnc")
    plt.close(figure)
    with Image.open(tmp_path / "a.rnc") as im:
        assert (im.format, im.mode, im.size) == ("RNC", "RGBA", (100, 50))


def test_dask_reads_stacks_of_pictures(path: Path, expected: NDArray[np.uint8]) -> None:
    from dask.array.image import imread

    shutil.copyfile(path, path.with_name("b.rnc"))
    stack: Any = imread(str(path.with_name("*.rnc")))  # type: ignore[no-untyped-call]  # it has no types

    assert stack.shape == (2, 30, 40, 3)
    assert np.array_equal(stack.compute(scheduler="threads"), np.stack([expected, expected]))


def test_ipython_loads_the_format_as_an_extension(path: Path, tmp_path: Path) -> None:
    program = (
        "%load_ext pillow_rnc.contrib.ipython\n"
        "from PIL import Image\n"
        f"print(Image.open({str(path)!r}).size, 'torch' in __import__('sys').modules)\n"
    )
    (tmp_path / "program.ipy").write_text(program)
    result = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", tmp_path / "program.ipy"],
        env=os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": REPOSITORY, "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == "(40, 30) False\n", result.stderr


def django_site(media: Path) -> None:
    """Set up a site in this process, once."""
    import django
    from django.conf import settings

    if settings.configured:
        settings.MEDIA_ROOT = str(media)
        return
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["pillow_rnc.contrib.django.RncConfig", "easy_thumbnails"],
        MEDIA_ROOT=str(media),
        MEDIA_URL="/media/",
        PILLOW_RNC={"iterations": 3},
        THUMBNAIL_EXTENSION="rnc",
        THUMBNAIL_TRANSPARENCY_EXTENSION="rnc",
        USE_TZ=True,
    )
    django.setup()


def test_django_takes_uploads(path: Path, tmp_path: Path) -> None:
    django_site(tmp_path)
    from django.core.exceptions import ValidationError
    from django.core.files.images import get_image_dimensions
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.core.validators import get_available_image_extensions, validate_image_file_extension
    from django.forms import ImageField

    uploaded = ImageField().clean(SimpleUploadedFile("a.rnc", path.read_bytes()))
    assert (uploaded.image.format, uploaded.content_type) == ("RNC", "image/x-rnc")
    assert get_image_dimensions(uploaded) == (40, 30)
    assert "rnc" in get_available_image_extensions()
    validate_image_file_extension(uploaded)
    for damage in (path.read_bytes()[:-1], path.read_bytes()[:-1] + b"\0"):
        with pytest.raises(ValidationError):
            ImageField().clean(SimpleUploadedFile("a.rnc", damage))


def test_django_sets_the_defaults_of_the_site(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    script = (
        "import mimetypes, pillow_rnc, test_hosts, pathlib, sys\n"
        "from pillow_rnc.plugin import defaults\n"
        "test_hosts.django_site(pathlib.Path(sys.argv[1]))\n"
        "assert defaults.current_defaults().iterations == 3\n"
        "assert mimetypes.guess_type('a.rnc')[0] == 'image/x-rnc'\n"
    )
    paths = [str(Path(__file__).parent), str(Path(pillow_rnc.__file__).parents[1])]
    program = f"import sys; sys.path[:0] = {paths!r}\n{script}"
    assert len(pixels)
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)


def test_easy_thumbnails_makes_thumbnails(path: Path, tmp_path: Path) -> None:
    django_site(tmp_path)
    from django.core.files.storage import FileSystemStorage
    from easy_thumbnails.files import Thumbnailer

    storage = FileSystemStorage(str(tmp_path))
    thumbnailer = Thumbnailer(None, path.name, source_storage=storage, thumbnail_storage=storage, remote_source=False)
    with path.open("rb") as source:
        thumbnailer.file = source
        thumbnail = thumbnailer.generate_thumbnail({"size": (20, 20), "quality": 90, "progressive": True})
    im = Image.open(io.BytesIO(thumbnail.read()))

    assert (im.format, im.size) == ("RNC", (20, 15))


SORL = """
import pathlib, sys
from django.conf import settings
picture, folder = sys.argv[1:]
settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
    INSTALLED_APPS=["pillow_rnc.contrib.django.RncConfig", "sorl.thumbnail"],
    MEDIA_ROOT=folder,
    THUMBNAIL_DBM_FILE=folder + "/thumbnails",
    THUMBNAIL_KVSTORE="sorl.thumbnail.kvstores.dbm_kvstore.KVStore",
)
import django
django.setup()
from pillow_rnc.models import weights
weights.register(picture.replace("a.rnc", "tiny.safetensors"))
from sorl.thumbnail import get_thumbnail
thumbnail = get_thumbnail(picture, "20x20", quality=90)
print(thumbnail.size, pathlib.Path(thumbnail.name).suffix)
"""


def test_sorl_makes_thumbnails_in_the_formats_that_it_knows(path: Path, tmp_path: Path) -> None:
    register_tiny_codec(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", SORL, path, tmp_path],
        env=os.environ | {"PYTHONPATH": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == "[20, 15] .jpg\n", result.stderr


def test_wagtail_takes_uploads_and_shows_them(path: Path, tmp_path: Path) -> None:
    model = register_tiny_codec(tmp_path)
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("wagtail_program.py"), model, path, tmp_path / "media"],
        env=os.environ | {"PYTHONPATH": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout.splitlines() == [
        "rnc image/x-rnc",
        "40 30 .rnc",
        "WEBP (20, 20) .webp",
        "InvalidFilterSpecError format-rnc",
        "invalid_image_known_format",
    ], result.stderr


def test_datasets_of_hugging_face(path: Path, expected: NDArray[np.uint8], tmp_path: Path) -> None:
    import datasets

    from pillow_rnc.contrib.datasets import register_extension

    by_path = datasets.Dataset.from_dict({"image": [str(path)]}).cast_column("image", datasets.Image())
    assert np.array_equal(np.asarray(by_path[0]["image"]), expected)
    feature = datasets.Image()
    with pillow_rnc.open(path) as im:
        encoded: Any = feature.encode_example(im)
    assert np.array_equal(np.asarray(feature.decode_example(encoded)), expected)
    # What comes from memory is stored again with the format that it had: the same bytes, not a second coding.
    encoded = feature.encode_example(pillow_rnc.open(io.BytesIO(path.read_bytes())))
    assert encoded["bytes"] == path.read_bytes()
    register_extension()
    register_extension()
    folder = datasets.load_dataset(
        "imagefolder", data_dir=str(path.parent), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert len(folder) == 1
    assert np.array_equal(np.asarray(folder[0]["image"]), expected)


def test_willow_opens_and_saves(path: Path, expected: NDArray[np.uint8], tmp_path: Path) -> None:
    django_site(tmp_path)  # Willow reads its settings where Django is installed
    import willow

    from pillow_rnc.contrib.willow import register_format

    register_format()
    register_format()
    with path.open("rb") as file:
        image = willow.Image.open(file)
        assert (image.format_name, image.mime_type, image.get_size()) == ("rnc", "image/x-rnc", (40, 30))
        small = image.resize((20, 15))
        assert np.array_equal(np.asarray(image.crop((0, 0, 40, 30)).image), expected)
    stream = io.BytesIO()
    small.save_as_rnc(stream, iterations=2)
    stream.seek(0)
    assert pillow_rnc.info(stream)["iterations"] == 2
    assert willow.Image.open(stream).get_size() == (20, 15)
    with (tmp_path / "a.png").open("wb+") as png:
        small.save("png", png)
        assert willow.Image.open(png).format_name == "png"


def import_torchvision() -> Any:  # noqa: ANN401 -- a module without types
    """Import it also beside a torch for which its operators were not built, as its image folders need none of them."""
    import importlib

    import torch

    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    names = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # it has no types
    for name in ("nms", "qnms"):
        names.define(f"{name}(Tensor a) -> Tensor")  # type: ignore[no-untyped-call]  # as above
    return importlib.import_module("torchvision.datasets")


def test_torchvision_makes_a_data_set_of_a_folder(path: Path, expected: NDArray[np.uint8], tmp_path: Path) -> None:
    datasets = import_torchvision()
    (tmp_path / "root" / "cats").mkdir(parents=True)
    path.rename(tmp_path / "root" / "cats" / "a.rnc")
    folder = datasets.ImageFolder(tmp_path / "root", is_valid_file=lambda path: path.endswith(".rnc"))
    (picture, label), *others = folder

    assert (label, others) == (0, [])
    assert np.array_equal(np.asarray(picture), expected)


IN_A_WINDOW = """
import sys, tkinter
from PIL import Image, ImageTk
import pillow_rnc
from pillow_rnc.models import weights
weights.register(sys.argv[2])
root = tkinter.Tk()
photo = ImageTk.PhotoImage(Image.open(sys.argv[1]))
tkinter.Label(root, image=photo).pack()
root.update()
shown = ImageTk.getimage(photo).convert("RGB")
print(*shown.size, shown.tobytes() == Image.open(sys.argv[1]).tobytes())
"""


def test_tkinter_shows_pictures(path: Path, tmp_path: Path) -> None:
    display = shutil.which("xvfb-run")
    assert display, "xvfb-run is not installed"
    result = subprocess.run(
        [display, "--auto-servernum", sys.executable, "-c", IN_A_WINDOW, path, register_tiny_codec(tmp_path)],
        env=os.environ | {"PYTHONPATH": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == "40 30 True\n", result.stderr


READ_IMAGES = """
import sys
import ray

def start():
    import pillow_rnc
    pillow_rnc.register_rnc_opener()

ray.init(num_cpus=1, include_dashboard=False, runtime_env={"worker_process_setup_hook": start})
for row in ray.data.read_images(sys.argv[1], file_extensions=["rnc"]).take_all():
    print(row["image"].shape)
"""


def test_ray_reads_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # its workers know the released models only
    Image.new("RGB", (40, 30)).save(tmp_path / "a.rnc", iterations=1)
    result = subprocess.run(
        [sys.executable, "-c", READ_IMAGES, tmp_path],
        env=os.environ | {"PYTHONPATH": REPOSITORY, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == "(30, 40, 3)\n", result.stderr


PRELOADED = """
import io, sys
from PIL import Image
import pillow_rnc
from pillow_rnc.models import weights
weights.register({weights!r})

def picture():
    with Image.open({path!r}) as im:
        return im.tobytes()

before_the_fork = picture()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes([picture() == before_the_fork])]
"""


def test_workers_of_gunicorn_decode_after_their_parent_has(path: Path, tmp_path: Path) -> None:
    program = PRELOADED.format(weights=str(register_tiny_codec(tmp_path)), path=str(path))
    (tmp_path / "site_of_a_test.py").write_text(program)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", "unix:socket"]
    with subprocess.Popen(
        [*command, "site_of_a_test:app"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": REPOSITORY}
    ) as server:
        try:
            for _ in range(4):
                assert answer(tmp_path / "socket") == b"\1"
        finally:
            server.terminate()


def answer(path: Path) -> bytes:
    """Return what a server behind a socket says, once there is one."""
    for _ in range(300):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.1)
                continue
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(4096), b""))
            return reply.partition(b"\r\n\r\n")[2]
    pytest.fail("the server does not answer")


def test_pillow_reads_our_xmp(path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><x:note>hello</x:note></x:xmpmeta>'
    with pillow_rnc.open(path) as im:
        im.save(path, xmp=xmp)
    with Image.open(path) as im:
        assert im.getxmp() == {"xmpmeta": {"note": "hello"}}


FROZEN = """
import io
import pillow_rnc
from PIL import Image
encoded = io.BytesIO()
Image.linear_gradient("L").resize((40, 30)).save(encoded, "RNC", iterations=2)
with Image.open(encoded) as im:
    im.load()
    print(im.format, im.size, im.iterations)
"""


def test_a_frozen_program_has_the_weights(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(FROZEN)
    command = [sys.executable, "-m", "PyInstaller", "program.py", "--log-level", "ERROR", "--paths", REPOSITORY]
    # What it does not need, so that it stays small; the hook is found by its entry point, or here in a checkout.
    for name in ("torch", "matplotlib", "scipy", "IPython", "pandas", "pillow_rnc.training", "pillow_rnc.evaluation"):
        command += ["--exclude-module", name]
    command += ["--additional-hooks-dir", *get_hook_dirs()]
    subprocess.run(command, cwd=tmp_path, check=True)
    result = subprocess.run(
        [tmp_path / "dist" / "program" / "program"], capture_output=True, text=True, check=False, env={}
    )

    assert result.stdout == "RNC (40, 30) 2\n", result.stderr
