"""SQLite in the home folder, or PostgreSQL."""

from __future__ import annotations

from isocenter.adapters.home import Home
from isocenter.adapters.sql.api_keys import SqlApiKeys
from isocenter.adapters.sql.audit import SqlAuditLog
from isocenter.adapters.sql.database import Database
from isocenter.adapters.sql.deliveries import SqlDeliveries
from isocenter.adapters.sql.events import SqlEventFeed
from isocenter.adapters.sql.index import SqlIndex
from isocenter.adapters.sql.job_ledger import SqlJobLedger
from isocenter.adapters.sql.migrate import migrate
from isocenter.adapters.sql.open_studies import SqlOpenStudies
from isocenter.adapters.sql.results import SqlResults
from isocenter.adapters.sql.search import SqlSearchIndex
from isocenter.adapters.sql.secrets import SqlSecrets
from isocenter.adapters.sql.step_ledger import SqlStepLedger
from isocenter.adapters.sql.webhooks import SqlWebhooks
from isocenter.bootstrap.rooms import Parts, Rooms, audit_key_of
from isocenter.settings import Settings


def open_rooms(settings: Settings, home: Home) -> Rooms:
    """Open the database and bring its schema up to date."""
    url = settings.database_url
    database = Database(url.get_secret_value() if url else f"sqlite:///{settings.home / 'isocenter.sqlite'}")
    migrate(database)
    secrets = SqlSecrets(database)
    # Of a home folder of one's own the key lies beside the database, so that a copy of one is not a copy of both.
    own = settings.audit_key is None and url is None
    audit_key = home.audit_key() if own else audit_key_of(settings, secrets)
    parts = Parts(
        index=SqlIndex(database, audit_key),
        search=SqlSearchIndex(database),
        events=SqlEventFeed(database),
        audit=SqlAuditLog(database, audit_key),
        jobs=SqlJobLedger(database),
        steps=SqlStepLedger(database),
        results=SqlResults(database),
        secrets=secrets,
        api_keys=SqlApiKeys(database, audit_key),
        deliveries=SqlDeliveries(database, audit_key),
        webhooks=SqlWebhooks(database, audit_key),
        open_studies=SqlOpenStudies(database),
    )
    return Rooms(parts, audit_key, database.close)
