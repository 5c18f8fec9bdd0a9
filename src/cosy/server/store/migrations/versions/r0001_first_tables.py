"""Voices, consents, keys and usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_voices()
    _create_consents()
    op.create_table(
        "keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("rpm", sa.Integer),
        sa.Column("concurrency", sa.Integer),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("revoked_at", Instant),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("digest", name="uq_keys_digest"),
    )
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("characters", sa.BigInteger, nullable=False),
        sa.Column("utf8_bytes", sa.BigInteger, nullable=False),
        sa.Column("audio_s", sa.Float, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "day", name="pk_usage"),
    )


def _create_voices() -> None:
    op.create_table(
        "voices",
        sa.Column("serial", Serial, nullable=False),
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("folder", sa.String(32), nullable=False),
        sa.Column("transcript", sa.Text, nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("pcm_rate_hz", sa.Integer),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("surface", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("modified_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_voices"),
        sa.UniqueConstraint("id", name="uq_voices_id"),
        sa.UniqueConstraint("folder", name="uq_voices_folder"),
        sqlite_autoincrement=True,
    )
    for column in ("surface", "owner", "created_at"):
        op.create_index(f"ix_voices_{column}", "voices", [column])


def _create_consents() -> None:
    op.create_table(
        "consents",
        sa.Column("serial", Serial, nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("folder", sa.String(32), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_consents"),
        sa.UniqueConstraint("id", name="uq_consents_id"),
        sa.UniqueConstraint("folder", name="uq_consents_folder"),
        sqlite_autoincrement=True,
    )
    for column in ("owner", "created_at"):
        op.create_index(f"ix_consents_{column}", "consents", [column])


def downgrade() -> None:
    for table in ("usage", "keys", "consents", "voices"):
        op.drop_table(table)
