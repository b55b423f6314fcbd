"""Takes in the objects that a batch of SQS messages tells of; messages of those to be tried again are given back."""

from __future__ import annotations

from isocenter.bootstrap.functions.opened import ready
from isocenter.bootstrap.functions.upload_event import open_upload_event

handler = ready(open_upload_event)
