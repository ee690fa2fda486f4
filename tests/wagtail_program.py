"""A Wagtail site that takes an upload and shows it, run by test_hosts.py: WEIGHTS PICTURE FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from PIL import Image as PillowImage

from pillow_rnc.models import weights

APPS = ["wagtail.images", "wagtail.users", "wagtail.admin", "wagtail.documents", "wagtail", "taggit", "modelcluster"]
APPS += [f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "messages", "staticfiles")]


def start_site(folder: Path) -> None:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=["pillow_rnc.contrib.wagtail.RncWagtailConfig", *APPS],
        MEDIA_ROOT=str(folder),
        MEDIA_URL="/media/",
        MIGRATION_MODULES=dict.fromkeys(f"wagtail{name}" for name in ("core", "images", "users", "admin", "docs"))
        | dict.fromkeys(("taggit", "auth", "contenttypes", "sessions", "wagtailsearch")),  # tables as they are now
        PILLOW_RNC={"iterations": 3},
        ROOT_URLCONF=__name__,
        SECRET_KEY="of a test",  # noqa: S106 -- as it says
        STATIC_URL="/static/",
        USE_TZ=True,
        WAGTAILADMIN_BASE_URL="http://localhost",
        WAGTAILIMAGES_EXTENSIONS=["png", "rnc"],
        WAGTAILIMAGES_FORMAT_CONVERSIONS={"rnc": "webp"},
        WAGTAIL_SITE_NAME="pictures",
    )
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)


def main(model: Path, picture: Path, folder: Path) -> None:
    weights.register(model)
    start_site(folder)
    from wagtail.images.fields import WagtailImageField
    from wagtail.images.models import Image
    from wagtail.models import Collection

    Collection.add_root(name="Root")
    upload = WagtailImageField().clean(SimpleUploadedFile("a.rnc", picture.read_bytes()))
    print(upload.image.format_name, upload.content_type)
    image = Image.objects.create(title="a", file=upload)
    print(image.width, image.height, Path(image.file.name).suffix)
    shown = image.get_rendition("fill-20x20")
    with PillowImage.open(shown.file.path) as im:
        print(im.format, im.size, Path(shown.file.name).suffix)
    try:
        image.get_rendition("width-20|format-rnc")
    except ValueError as error:
        print(type(error).__name__, "format-rnc")
    damaged = SimpleUploadedFile("b.rnc", b"GIF89a" + picture.read_bytes())
    try:
        WagtailImageField().clean(damaged)
    except ValidationError as error:
        print(error.code)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
