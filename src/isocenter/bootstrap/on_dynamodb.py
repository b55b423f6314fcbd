"""DynamoDB, with secrets in Secrets Manager."""

from __future__ import annotations

from secrets import token_bytes

from isocenter.adapters.aws.api_keys import DynamoApiKeys
from isocenter.adapters.aws.audit import DynamoAuditLog
from isocenter.adapters.aws.deliveries import DynamoDeliveries
from isocenter.adapters.aws.events import DynamoEventFeed
from isocenter.adapters.aws.index import DynamoIndex
from isocenter.adapters.aws.job_ledger import DynamoJobLedger
from isocenter.adapters.aws.open_studies import DynamoOpenStudies
from isocenter.adapters.aws.results import DynamoResults
from isocenter.adapters.aws.search import DynamoSearchIndex
from isocenter.adapters.aws.secrets import SecretsManagerSecrets
from isocenter.adapters.aws.step_ledger import DynamoStepLedger
from isocenter.adapters.aws.table import Table
from isocenter.adapters.aws.webhooks import DynamoWebhooks
from isocenter.adapters.home import Home
from isocenter.bootstrap.rooms import Parts, Rooms, audit_key_of
from isocenter.settings import Settings

TABLE_KEY = "table-keys"


def open_rooms(settings: Settings, home: Home) -> Rooms:
    """Open the table, which is there already: infra/terraform makes it."""
    assert settings.database_url is not None
    secrets = SecretsManagerSecrets(settings.secrets_prefix)
    audit_key = audit_key_of(settings, secrets)
    name = settings.database_url.get_secret_value().removeprefix("dynamodb://")
    # Items lie under keys made with it: with another one nothing of what is kept would be found.
    table = Table(name, secrets.create(TABLE_KEY, token_bytes(32)))
    parts = Parts(
        index=DynamoIndex(table, audit_key),
        search=DynamoSearchIndex(table),
        events=DynamoEventFeed(table),
        audit=DynamoAuditLog(table, audit_key),
        jobs=DynamoJobLedger(table),
        steps=DynamoStepLedger(table),
        results=DynamoResults(table),
        secrets=secrets,
        api_keys=DynamoApiKeys(table, audit_key),
        deliveries=DynamoDeliveries(table, audit_key),
        webhooks=DynamoWebhooks(table, audit_key),
        open_studies=DynamoOpenStudies(table),
    )
    return Rooms(parts, audit_key, table.close)
