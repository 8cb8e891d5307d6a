"""People whom the demo made are marked: where the demo is off, nobody is one of them."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("people", sa.Column("demo", sa.Boolean(), nullable=False, server_default=sa.false()))
    # Those of a demo that ran before: only the demo gives its tokens this label and says that `holdgate` made people.
    op.execute(
        "UPDATE people SET demo = true WHERE email = id || '@example.org' AND id IN "
        "(SELECT person FROM tokens WHERE label = 'demo')"
    )


def downgrade() -> None:
    op.drop_column("people", "demo")
