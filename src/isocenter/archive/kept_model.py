"""The model in kept metadata as JSON text, its bulk data addressed, without the text being taken apart."""

from __future__ import annotations

import zlib

import orjson

from isocenter.dicom.instance import Metadata
from isocenter.errors import Malformed

_MODEL, _BULK = b',"model":', b',"bulk":'
_REFERENCE = b'"BulkDataURI":"'


def addressed_model(kept: bytes, base: str) -> bytes:
    """The DICOM JSON model (PS3.18 F.2) of `Instance.metadata`, `base` before each BulkDataURI.

    What is kept is {"meta":...,"model":...,"bulk":...} as orjson writes it, without white space. In such a text a
    quotation mark stands only at the ends of strings: one inside a string has a backslash before it. So where
    `"BulkDataURI":"` is found, its first mark either opens a string, which then is that very key, or closes one,
    behind which only a comma, colon or bracket can come, but no letter. It is never inside a value, where its second
    mark would have its backslash. The same holds of `,"model":` and `,"bulk":`, and no other key has these names:
    those of models are tags and the words of F.2.2, those of "bulk" are paths of tags.
    """
    try:
        text = zlib.decompress(kept)
    except zlib.error as error:
        raise Malformed("the kept metadata is damaged; `isocenter fsck` says more", code="bad-metadata") from error
    start, end = text.find(_MODEL), text.rfind(_BULK)
    if not text.startswith(b'{"meta":{') or not 0 < start < end:
        # Written by something else than orjson.
        whole = Metadata.from_bytes(kept)
        text = orjson.dumps({"meta": whole.meta, "model": whole.model, "bulk": whole.bulk})
        start, end = text.find(_MODEL), text.rfind(_BULK)
    prefix = orjson.dumps(base)[1:-1]
    return text[start + len(_MODEL) : end].replace(_REFERENCE, _REFERENCE + prefix)
