"""SQS and EventBridge: attributes come back as they were set, and events may be brought more than once."""

from __future__ import annotations

import random
from typing import Any

from moto.events import models as events
from moto.sqs import models

from isocenter.testing.aws.patches import replaced
from isocenter.testing.aws.state import SEEN


def patch() -> None:
    """Put it all in place."""
    _keep_attributes()
    _bring_often()


def _keep_attributes() -> None:
    """Terraform sets attributes one after the other and compares texts: moto forgets the policy at each, does not know
    who may redrive, and tells the redrive policy as it reads it."""
    queues: Any = models.Queue
    attributes_before = queues.attributes.fget

    def setting(self: Any, attributes: dict[str, Any], now: float | None = None) -> None:
        given = dict(attributes)
        if "RedriveAllowPolicy" in given:
            self.redrive_allowed = given.pop("RedriveAllowPolicy")
        if "Policy" not in given and getattr(self, "_policy_json", None):
            given["Policy"] = self.policy
        self.redrive_told = given.get("RedrivePolicy") or getattr(self, "redrive_told", None)
        setting_before(self, given, now)

    def told(self: Any) -> dict[str, Any]:
        found = {name: value for name, value in attributes_before(self).items() if value is not None}
        if getattr(self, "redrive_allowed", None):
            found["RedriveAllowPolicy"] = self.redrive_allowed
        if "RedrivePolicy" in found and isinstance(self.redrive_told, str):
            found["RedrivePolicy"] = self.redrive_told
        return found

    setting_before = replaced(queues, "_set_attributes", setting)
    replaced(queues, "attributes", property(told))
    queues.KMS_ATTRIBUTES = [*queues.KMS_ATTRIBUTES, "RedriveAllowPolicy"]  # told only where it is set, as those are
    queues.redrive_allow_policy = property(lambda self: getattr(self, "redrive_allowed", None) or None)


def _bring_often() -> None:
    """EventBridge and SQS bring at least once and in any order: as often as a test asks."""
    rules: Any = events.Rule
    queues: Any = models.SQSBackend

    def send(self: Any, original_event: Any, transform_input: bool = True) -> None:
        for _ in range(SEEN.faults.event_copies):
            send_before(self, original_event, transform_input)

    def receive(self: Any, queue_name: str, *arguments: Any, **named: Any) -> Any:
        if SEEN.faults.shuffled:
            random.shuffle(self.get_queue(queue_name)._messages)
        return receive_before(self, queue_name, *arguments, **named)

    send_before = replaced(rules, "send_to_targets", send)
    receive_before = replaced(queues, "receive_message", receive)
