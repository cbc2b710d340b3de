# Two stages: the first has pip and builds the wheels, the second has only what runs.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY service ./service
COPY sql ./sql
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels llm-governance \
    && useradd --system --uid 10001 --no-create-home governance
USER 10001
ENV HOST=0.0.0.0 PORT=8080 PYTHONUNBUFFERED=1 GOVERNANCE_LOG_FORMAT=json
EXPOSE 8080
# /health never waits for a store: an outage of a store must not restart the service.
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health', timeout=1.5)"]
ENTRYPOINT ["governance"]
CMD ["serve"]
