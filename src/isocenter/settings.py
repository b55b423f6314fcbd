"""The settings: frozen, each with a default that works, and the only reader of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from isocenter.dicom.attributes import Named
from isocenter.errors import IsocenterError, Misconfigured
from isocenter.pipeline.destinations import DestinationAt
from isocenter.pipeline.listeners import trusted_origins
from isocenter.pipeline.locations import Allowed

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class Settings(BaseSettings):
    """Read once at start, from arguments, then environment (ISOCENTER_...), then isocenter.toml in `home`."""

    model_config = SettingsConfigDict(
        env_prefix="ISOCENTER_", frozen=True, extra="forbid", toml_file=None, hide_input_in_errors=True
    )
    toml: ClassVar[Path | None] = None
    kept: ClassVar[Mapping[str, str]] = {}  # as the environment would have them

    home: Path = Field(Path("isocenter-home"), description="Folder that holds everything not kept elsewhere.")
    host: str = Field("127.0.0.1", description="Address to listen on; off loopback only with authentication.")
    port: int = Field(8042, ge=0, le=65535, description="Port to listen on; 0 takes any that is free.")
    workers: int = Field(1, ge=1, le=64, description="Server processes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")

    database_url: SecretStr | None = Field(
        None,
        description="sqlite:///FILE, postgresql+psycopg://... or dynamodb://TABLE; SQLite in `home` without it.",
    )
    audit_key: SecretStr | None = Field(
        None, min_length=16, description="Key of the audit chain; without it one is made and kept."
    )
    blobs_url: str | None = Field(
        None,
        description="Where images are kept: a folder, memory://, s3://, gs:// or az://; `home`/blobs without it.",
    )
    blobs_options: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Options of the object store as obstore names them (endpoint, region, keys).",
    )
    blobs_urls: dict[str, str] = Field(
        default_factory=dict,
        description="Buckets or folders of single stores, by their names; others lie in blobs_url.",
    )
    secrets_prefix: str = Field(
        "isocenter/", description="On AWS: what the names of our secrets in Secrets Manager begin with."
    )
    parameters: str | None = Field(
        None, description="On AWS: path of SSM parameters that are settings too, behind those of the environment."
    )
    state_machines: dict[str, str] = Field(
        default_factory=dict,
        description="On AWS: ARNs of the state machines that run pipelines, by the pipelines' names; NAME.express for"
        " jobs of one chunk.",
    )
    incoming_url: str | None = Field(
        None, description="On AWS: the bucket whose objects below incoming/ are taken in as events tell of them."
    )
    incoming_pipeline: str | None = Field(None, description="On AWS: the pipeline that is run over each of them.")
    stores: tuple[str, ...] = Field(("raw", "deidentified"), description="Named archives; the first is the default.")
    deidentified_stores: tuple[str, ...] = Field(
        ("deidentified",),
        description="Stores that hold no identity; reading any other takes the scope identified:read besides.",
    )
    keep_versions: bool = Field(
        False, description="Other bytes under a known identity become its new version instead of a conflict."
    )
    search_attributes: tuple[str, ...] = Field(
        (),
        description="Attributes searched by besides those of PS3.18: study:, series: or instance: and a Keyword or tag,"
        " dotted through sequences. `isocenter reindex` finds them in what is kept already.",
    )
    delivery_links: Literal["own", "presigned"] = Field(
        "own",
        description="own: links of this server, which can be revoked. presigned: links of the object store where it can"
        " sign, which nobody can revoke.",
    )
    upload_links: Literal["own", "presigned"] = Field(
        "own",
        description="own: parts of an upload session are sent to this server. presigned: straight into the bucket where"
        " images are kept in S3.",
    )
    destinations: dict[str, DestinationAt] = Field(
        default_factory=dict,
        description="Places that images are sent to, by name: each a folder, a bucket, a stow peer or a webhook.",
    )
    deleted_grace_days: float = Field(7, ge=0, description="How long a deleted image can be restored.")

    max_upload_bytes: int = Field(8 << 30, gt=0, description="Largest request body.")
    max_answer_bytes: int | None = Field(
        None,
        ge=1 << 16,
        description="A larger answer is written to the bucket where images are kept in S3, and given by 307 to an"
        " address of it that works for 15 minutes; for what cannot send much, as AWS Lambda. Any size without it.",
    )
    max_parts: int = Field(10_000, gt=0, description="Most parts in one multipart request.")
    max_part_header_bytes: int = Field(8 << 10, gt=0, description="Longest header block of a part.")
    max_concurrent_uploads: int = Field(32, gt=0, description="Uploads at a time in one process; more answer 429.")
    max_depth: int = Field(16, gt=0, le=64, description="Deepest nesting of sequences.")
    max_elements: int = Field(300_000, gt=0, description="Most elements in a Data Set.")
    max_header_bytes: int = Field(64 << 20, gt=0, description="Largest header, bulk data left out.")
    max_inflated_bytes: int = Field(1 << 30, gt=0, description="Largest deflated or gzipped content when inflated.")

    decode_workers: int = Field(2, ge=1, le=64, description="Processes that decode pixels, per server process.")
    decode_seconds: float = Field(30, gt=0, description="Longest time one picture may take.")
    decode_memory_bytes: int = Field(4 << 30, gt=0, description="Most memory one decoding process may take.")

    algorithm_seconds: float = Field(60, gt=0, description="Longest time an algorithm may take for one image.")
    labels_detector: Literal["classical", "onnx", "rekognition"] = Field(
        "classical", description="What the algorithm `labels` looks with; with rekognition pictures go to AWS."
    )
    labels_model: Path | None = Field(None, description="The ONNX model of labels_detector onnx.")
    labels_names: Path | None = Field(None, description="Its labels, one a line.")
    text_detector: Literal["rapidocr", "rekognition"] = Field(
        "rapidocr", description="What text in pixels is read with; with rekognition pictures go to AWS."
    )
    rekognition_region: str = Field("us-east-1", description="AWS region of Amazon Rekognition, where it is chosen.")

    pipelines: Path | None = Field(None, description="Folder of pipelines (YAML); `home`/pipelines without it.")
    process_urls: tuple[str, ...] = Field(
        (),
        description="Places outside whose images may be processed by URL, and prefixes in them: s3://bucket, gs://bucket,"
        " az://container (results are written there too) or https://host/prefix. None without it.",
    )
    process_seconds: float = Field(25, ge=0, le=600, description="So long POST /process waits for what it began.")
    process_max_bytes: int = Field(2 << 30, gt=0, description="Largest image that is fetched from outside.")
    worker_slots: int = Field(
        2, ge=0, le=64, description="Tasks that a worker has under way at once; 0: serve starts none."
    )
    worker_lease_seconds: float = Field(15, ge=1, le=3600, description="After so long a task of a lost worker is free.")
    worker_idle_seconds: float = Field(
        60, ge=1, description="After so long without work the worker that serve starts ends."
    )
    max_waiting_images: int = Field(
        1_000_000, gt=0, description="Most images in jobs not over; above it, new jobs answer 429."
    )
    jobs_kept_days: float = Field(30, ge=0, description="How long a job that is over keeps more than its summary.")

    study_quiet_seconds: float = Field(
        60, ge=0, le=86400, description="After so long without a new image a study counts as complete; 0: never."
    )
    on_study_complete: str | None = Field(
        None, pattern=r"^[a-z0-9-]{1,64}$", description="Pipeline that is run over each study that is complete."
    )
    webhook_urls: tuple[str, ...] = Field(
        (),
        description="Origins inside (http://host:port, https://host:port) that webhooks may lead to, besides every"
        " public address by https.",
    )
    webhook_seconds: float = Field(10, gt=0, le=120, description="Longest wait for a webhook's listener.")
    webhook_attempts: int = Field(10, ge=1, le=100, description="After so many attempts an event is a dead letter.")
    webhook_retry_seconds: float = Field(
        10, gt=0, le=3600, description="Wait before the second attempt; before each further one it is twice as long."
    )
    webhook_longest_retry_seconds: float = Field(3600, gt=0, le=86400, description="Longest wait between attempts.")

    auth: Literal["none", "keys", "oidc", "keys+oidc"] = Field("none", description="Who may come in.")
    oidc_issuer: str | None = Field(None, description="Issuer of access tokens, exactly as in their `iss`.")
    oidc_audience: str | None = Field(None, description="Audience that tokens must be for (`aud`).")
    oidc_jwks_url: str | None = Field(None, description="The issuer's keys; found by discovery without it.")
    oidc_scope_prefix: str = Field("", description="Prefix that the issuer puts before our scopes.")
    tls_certificate: Path | None = Field(None, description="PEM file: certificate and chain, to serve HTTPS itself.")
    tls_key: Path | None = Field(None, description="PEM file: the certificate's private key.")
    cors_origins: tuple[str, ...] = Field((), description="Web origins that may call from a browser.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if cls.kept:
            parameters = EnvSettingsSource(settings_cls)
            parameters.env_vars = {f"isocenter_{name.lower()}": value for name, value in cls.kept.items()}
            sources = (*sources, parameters)
        return sources if cls.toml is None else (*sources, TomlConfigSettingsSource(settings_cls, cls.toml))

    @field_validator("stores")
    @classmethod
    def _slugs(cls, stores: tuple[str, ...]) -> tuple[str, ...]:
        for name in stores:
            if not (name.isascii() and name.replace("-", "").isalnum() and name == name.lower()):
                raise ValueError("a store's name is lower-case letters, digits and hyphens")
        if not stores or len(set(stores)) != len(stores):
            raise ValueError("name at least one store, each once")
        return stores

    @field_validator("search_attributes")
    @classmethod
    def _attributes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            try:
                Named.parse(name)
            except IsocenterError as error:
                raise ValueError(error.detail) from None
        return names

    @field_validator("process_urls")
    @classmethod
    def _places(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            Allowed.parse(entry)
        return entries

    @field_validator("webhook_urls")
    @classmethod
    def _origins(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        trusted_origins(entries)
        return entries

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if self.auth == "none" and self.host not in LOOPBACK:
            raise Misconfigured(
                "without authentication the server listens on this machine only. Set auth to keys"
                " (`isocenter keys new` makes one) or oidc, or leave host at 127.0.0.1.",
                code="open-to-the-network",
            )
        if "oidc" in self.auth and not (self.oidc_issuer and self.oidc_audience):
            raise Misconfigured("auth oidc takes oidc_issuer and oidc_audience", code="oidc-incomplete")
        if self.labels_detector == "onnx" and (self.labels_model is None or self.labels_names is None):
            raise Misconfigured("labels_detector onnx takes labels_model and labels_names", code="labels-incomplete")
        if self.max_answer_bytes is not None and not (self.blobs_url or "").startswith("s3://"):
            raise Misconfigured("max_answer_bytes takes images kept in S3 (blobs_url s3://...)", code="no-way-out")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise Misconfigured("tls_certificate and tls_key belong together", code="tls-incomplete")
        return self

    @property
    def identified_stores(self) -> tuple[str, ...]:
        """Every store that is not known to hold no identity."""
        return tuple(store for store in self.stores if store not in self.deidentified_stores)

    @property
    def searched(self) -> tuple[Named, ...]:
        """`search_attributes`, read."""
        return tuple(dict.fromkeys(map(Named.parse, self.search_attributes)))

    @property
    def default_store(self) -> str:
        return self.stores[0]


class _Place(BaseSettings):
    """Where the home folder is, which has to be known before its isocenter.toml can be read."""

    model_config = SettingsConfigDict(env_prefix="ISOCENTER_", extra="ignore")
    home: Path = Path("isocenter-home")


def load(*, parameters: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """The settings in force; `given` (None counts as not given) comes before environment, `parameters` and file.

    `parameters` are texts as the environment would have them.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    file = Path(chosen.get("home") or _Place().home) / "isocenter.toml"
    own = {"toml": file if file.is_file() else None, "kept": dict(parameters or {}), "__module__": __name__}
    source = type("Settings", (Settings,), own)
    found: Settings = source(**chosen)
    # As the plain class, so that it can be pickled to server and worker processes; it has been checked.
    return Settings.model_construct(**dict(found))
