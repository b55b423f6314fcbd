"""S3: the switch for EventBridge is told, and policies mean what they say."""

from __future__ import annotations

import copy
import re
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import unescape

from moto.iam.access_control import PermissionResult
from moto.s3 import models, responses

from isocenter.testing.aws.actions import ACCOUNT
from isocenter.testing.aws.iam import evaluate
from isocenter.testing.aws.patches import replaced


def patch() -> None:
    """Put it all in place."""
    _tell_event_bridge()
    _mean_policies()
    _understand_logs()
    _end_markers()
    _list_without_copies()
    _encode_keys_of_versions()


def _tell_event_bridge() -> None:
    """moto keeps the switch and leaves it out of its answer: a second plan would set it again."""

    def told(self: Any) -> Any:
        configured = self.backend.get_bucket_notification_configuration(self.bucket_name)
        answer = told_before(self)
        if configured is None or configured.event_bridge is None:
            return answer
        status, headers, body = answer
        text = body.decode() if isinstance(body, bytes) else body
        end = "</NotificationConfiguration>"
        if end not in text:
            text = text.rstrip("/> \n") + ">" + end
        return status, headers, text.replace(end, f"<EventBridgeConfiguration/>{end}")

    told_before = replaced(responses.S3Response, "get_bucket_notification", told)


def _mean_policies() -> None:
    """To moto a Deny whose Condition is not met denies: "only by TLS" would shut everybody out."""
    meaning = {"Deny": PermissionResult.DENIED, "Allow": PermissionResult.PERMITTED, None: PermissionResult.NEUTRAL}

    def permission(self: Any, action: str, resource: str) -> PermissionResult:
        if not self.policy:
            return PermissionResult.NEUTRAL
        policy = self.policy.decode() if isinstance(self.policy, bytes) else self.policy
        return meaning[evaluate([policy], action, resource, {"aws:securetransport": "true"}, principal="*")]

    replaced(models.FakeBucket, "get_permission", permission)


def _understand_logs() -> None:
    """Of who may write logs moto reads one wording of a policy only, and fails at statements about everybody (`*`)."""

    def permitted(target_bucket: Any, target_prefix: str | None) -> bool:
        resource = f"arn:aws:s3:::{target_bucket.name}/{target_prefix or ''}x"
        context = {"aws:securetransport": "true", "aws:sourceaccount": ACCOUNT}
        policies = [target_bucket.policy.decode()] if target_bucket.policy else []
        return evaluate(policies, "s3:PutObject", resource, context, principal="logging.s3.amazonaws.com") == "Allow"

    replaced(models.FakeBucket, "_log_permissions_enabled_policy", staticmethod(permitted))


def _end_markers() -> None:
    """moto fails at emptying a bucket of versions where the last of an object is the mark of its deletion."""
    markers: Any = models.FakeDeleteMarker
    markers.dispose = lambda self, garbage=False: None


def _list_without_copies() -> None:
    """moto copies every version there is, to the bottom, for each page of them: a thousand objects take minutes."""
    kinds: tuple[Any, ...] = (models.FakeKey, models.FakeDeleteMarker)
    for kind in kinds:
        kind.__deepcopy__ = lambda self, memo: copy.copy(self)


def _encode_keys_of_versions() -> None:
    """Asked for keys in percent-encoding, moto gives them as they are: whoever decodes them deletes other keys than
    there are, each of which becomes a new mark of a deletion, without end."""

    def encoded(found: re.Match[str]) -> str:
        return f"<{found[1]}>{quote(unescape(found[2]), safe='/')}</{found[1]}>"

    def listed(self: Any) -> Any:
        answer = listed_before(self)
        if self.querystring.get("encoding-type", [None])[0] != "url":
            return answer
        status, headers, body = answer
        text = body.decode() if isinstance(body, bytes) else body
        text = re.sub(r"<(Key|Prefix|KeyMarker|NextKeyMarker|Delimiter)>([^<]+)</\1>", encoded, text)
        end = "</ListVersionsResult>"
        return status, headers, text.replace(end, f"<EncodingType>url</EncodingType>{end}")

    listed_before = replaced(responses.S3Response, "list_object_versions", listed)
