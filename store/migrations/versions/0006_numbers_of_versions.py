"""The highest number that a version of each dataset ever had, so that none is given twice."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DATASETS = sa.table("datasets", sa.column("name", sa.String), sa.column("last", sa.Integer))
VERSIONS = sa.table("dataset_versions", sa.column("name", sa.String), sa.column("version", sa.Integer))
EFFECTS = sa.table("effects", sa.column("kind", sa.String), sa.column("result", sa.JSON))


def upgrade() -> None:
    op.add_column("datasets", sa.Column("last", sa.Integer(), nullable=False, server_default="0"))
    conn = op.get_bind()
    given = [(row.name, row.version) for row in conn.execute(sa.select(VERSIONS.c.name, VERSIONS.c.version))]
    # Versions that were removed are known from their loading.
    loaded = conn.execute(sa.select(EFFECTS.c.result).where(EFFECTS.c.kind == "load_rows")).scalars()
    given += [(made["name"], made["version"]) for made in loaded if made]
    last: dict[str, int] = {}
    for name, version in given:
        last[name] = max(version, last.get(name, 0))
    known = set(conn.execute(sa.select(DATASETS.c.name)).scalars())
    for name, version in last.items():
        if name in known:
            conn.execute(sa.update(DATASETS).where(DATASETS.c.name == name).values(last=version))
        else:
            conn.execute(sa.insert(DATASETS).values(name=name, last=version))


def downgrade() -> None:
    op.drop_column("datasets", "last")
