# One image for the gateway, the worker and the command line: `./holdgate api`, `./holdgate worker`, `./holdgate people ...`.
# Never built here, as there is no Docker engine: see docs/operations.md.
FROM python:3.11.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOLDGATE_VAR=/var/lib/holdgate \
    HOLDGATE_HOST=0.0.0.0 HOLDGATE_DEMO=0
RUN useradd --system --uid 10001 --no-create-home holdgate \
    && install --directory --owner=holdgate --mode=0700 /var/lib/holdgate
WORKDIR /app

COPY requirements.txt ./
# The lock in the environment is how ./holdgate knows that it was made to its end.
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt \
    && cp requirements.txt .venv/

COPY LICENSE pyproject.toml holdgate worker.py policy.toml policy.tests.toml mappings.toml ./
COPY activities ./activities
COPY api ./api
COPY cases ./cases
COPY channels ./channels
COPY core ./core
COPY domain ./domain
COPY cli ./cli
COPY intake ./intake
COPY ops ./ops
COPY plugins ./plugins
COPY policy ./policy
COPY samples ./samples
COPY store ./store
COPY workflows ./workflows

USER holdgate
VOLUME /var/lib/holdgate
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/app/.venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["./holdgate", "api"]
