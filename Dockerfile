# One image for every role: `docker run modelmesh worker`. BASE is any Debian or slim image with Python 3.11+.
ARG BASE=python:3.12-slim
FROM ${BASE} AS build
# What a role needs (`server`) is in the lock. Other parts by their names in pyproject.toml, separated by spaces:
# --build-arg EXTRAS="grpc torch".
ARG EXTRAS=
WORKDIR /src
RUN python3 -m venv /opt/modelmesh
# The dependencies first: they change far less often than the code.
COPY requirements.lock pyproject.toml ./
RUN /opt/modelmesh/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements.lock
RUN python3 -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print('\n'.join(one for name in sys.argv[1:] for one in project['optional-dependencies'][name] \
      if not one.startswith('modelmesh[')))" ${EXTRAS} > extras.txt \
    && /opt/modelmesh/bin/pip install --quiet --no-cache-dir -r extras.txt
COPY . .
RUN /opt/modelmesh/bin/pip install --quiet --no-cache-dir --no-deps .

FROM ${BASE}
RUN groupadd --gid 10001 modelmesh \
    && useradd --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin modelmesh \
    && mkdir -p /data /artifacts && chown 10001:10001 /data /artifacts
COPY --from=build /opt/modelmesh /opt/modelmesh
ENV PATH=/opt/modelmesh/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    MODELMESH_DATA=/data \
    MODELMESH_HOST=0.0.0.0 \
    MODELMESH_ADMIN_HOST=0.0.0.0 \
    MODELMESH_ADMIN_PORT=9100
USER 10001:10001
# Everything else may be read-only.
VOLUME ["/data", "/artifacts"]
EXPOSE 8000 9100
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 \
    CMD ["python3", "-S", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/health', timeout=2)"]
ENTRYPOINT ["modelmesh"]
