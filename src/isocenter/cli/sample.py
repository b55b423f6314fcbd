"""A small made-up study for the first five minutes, and four commands to try on it."""

from __future__ import annotations

from contextlib import closing

import typer

from isocenter.archive.store import Placement
from isocenter.bootstrap.backends import ingest_of, open_backends
from isocenter.cli.caller import caller
from isocenter.records import Receipt
from isocenter.settings import Settings
from isocenter.testing.instances import sample_study

_FOLDER = "sample"


def load_sample(settings: Settings) -> list[Receipt]:
    """Keep the sample study and lay its files in the home folder to send in by hand; twice changes nothing."""
    folder = settings.home / _FOLDER
    backends = open_backends(settings)
    with closing(backends):
        folder.mkdir(exist_ok=True)
        batch = ingest_of(settings, backends.platform).batch(caller())
        for name, data in sample_study():
            (folder / name).write_bytes(data)
            intake = batch.begin(name, Placement(settings.default_store))
            intake.write(data)
            intake.finish()
        return batch.close()


def show_sample(settings: Settings, address: str, receipts: list[Receipt]) -> None:
    """Print the address and four commands that work as they stand."""
    record = next(receipt.record for receipt in receipts if receipt.record is not None)
    file = settings.home / _FOLDER / receipts[0].source
    typer.echo(
        f"""
Isocenter is at {address}  (Ctrl-C ends it; everything it keeps is in {settings.home})
A sample study of a made-up patient is loaded. In another terminal:

  curl -F file=@{file} {address}/dicom-image
  curl "{address}/dicom-image/{record.id}?dicom_tag=PatientName"
  curl -o slice.png {address}/dicom-image/{record.id}/png
  curl "{address}/images?subject_id={record.subject_id}"

Every route: {address}/docs   DICOMweb: {address}/dicomweb
"""
    )
